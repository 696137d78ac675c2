-- One row for each interval in which a state of an entity had one value.
INSERT INTO nexus_states (
    state_id,
    entity_id,
    entity_type,
    state_name,
    state_value,
    state_numeric_value,
    state_category,
    state_entered_at,
    state_exited_at,
    is_current,
    trigger_event_id
)
SELECT
    'st_' || SUBSTR(entities.entity_id, 5) || '_' || states.state_name
    || '_' || CAST(states.entered_ms AS STRING) AS state_id,
    entities.entity_id,
    entities.entity_type,
    states.state_name,
    states.state_value,
    states.state_numeric_value,
    CASE WHEN states.state_numeric_value IS NULL THEN 'dimension' ELSE 'measurement' END AS state_category,
    CAST(TO_TIMESTAMP_NTZ(states.entered_ms, 3) AS TIMESTAMP_NTZ(3)) AS state_entered_at,
    CAST(TO_TIMESTAMP_NTZ(states.exited_ms, 3) AS TIMESTAMP_NTZ(3)) AS state_exited_at,
    states.exited_ms IS NULL AS is_current,
    states.event_id AS trigger_event_id
FROM nexus_work_states AS states
INNER JOIN nexus_work_entities AS entities ON states.entity = entities.senior
