-- One row for each value that one event said of a state together with others: the last of them counts, in the
-- order of their canonical JSON, which Python writes.
WITH tied AS (
    SELECT entity, state_name, occurred_ms, source, event_id
    FROM nexus_work_facts
    GROUP BY entity, state_name, occurred_ms, source, event_id
    HAVING COUNT(*) > 1
)

SELECT DISTINCT facts.state_value, facts.state_numeric_value
FROM nexus_work_facts AS facts
INNER JOIN tied
    ON
        facts.entity = tied.entity
        AND facts.state_name = tied.state_name
        AND facts.occurred_ms = tied.occurred_ms
        AND facts.source = tied.source
        AND facts.event_id = tied.event_id
