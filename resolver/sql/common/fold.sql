-- Into nexus_work_states: the steps as intervals. Equal neighbours are one; a step without a value ends what
-- was before it.
INSERT INTO nexus_work_states (
    entity, entity_type, state_name, state_value, state_numeric_value, entered_ms, exited_ms, event_id
)
WITH neighbours AS (
    SELECT
        steps.*,
        LAG(has_value) OVER (PARTITION BY entity, state_name ORDER BY at_ms) AS had_value,
        LAG(state_value) OVER (PARTITION BY entity, state_name ORDER BY at_ms) AS former_value,
        LAG(state_numeric_value) OVER (PARTITION BY entity, state_name ORDER BY at_ms) AS former_number
    FROM nexus_work_steps AS steps
),

changes AS (
    SELECT
        neighbours.*,
        LEAD(at_ms) OVER (PARTITION BY entity, state_name ORDER BY at_ms) AS exited_ms
    FROM neighbours
    WHERE
        had_value IS NULL
        OR had_value <> has_value
        OR state_value IS DISTINCT FROM former_value
        OR state_numeric_value IS DISTINCT FROM former_number
)

SELECT
    entity,
    entity_type,
    state_name,
    state_value,
    state_numeric_value,
    at_ms AS entered_ms,
    exited_ms,
    event_id
FROM changes
WHERE has_value = 1
