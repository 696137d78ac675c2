-- Into nexus_work_steps: from this instant on a state was this, said facts; of several at one instant the last.
INSERT INTO nexus_work_steps (
    entity, entity_type, state_name, at_ms, has_value, state_value, state_numeric_value, event_id
)
WITH ranked AS (
    SELECT
        facts.*,
        ROW_NUMBER() OVER (
            PARTITION BY facts.entity, facts.state_name, facts.occurred_ms
            ORDER BY facts.source DESC, facts.event_id DESC, tied.place DESC
        ) AS place
    FROM nexus_work_facts AS facts
    LEFT JOIN nexus_work_tied AS tied
        ON
            COALESCE(facts.state_value, '') = COALESCE(tied.state_value, '') -- BigQuery wants an equality
            AND facts.state_value IS NOT DISTINCT FROM tied.state_value
            AND facts.state_numeric_value IS NOT DISTINCT FROM tied.state_numeric_value
)

SELECT
    entity,
    entity_type,
    state_name,
    occurred_ms AS at_ms,
    1 AS has_value,
    state_value,
    state_numeric_value,
    event_id
FROM ranked
WHERE place = 1
