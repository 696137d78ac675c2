-- Into nexus_work_facts: what events say that set a state by their name, to a value or to a measurement.
INSERT INTO nexus_work_facts (
    entity, entity_type, state_name, state_value, state_numeric_value, occurred_ms, source, event_id
)
WITH triggered AS (
    SELECT
        participants.*,
        triggers.state_name,
        triggers.state_value,
        triggers.measurement_name
    FROM nexus_work_participants AS participants
    INNER JOIN nexus_work_triggers AS triggers
        ON
            participants.event_name = triggers.event_name
            AND participants.entity_type = triggers.entity_type
            AND (triggers.source IS NULL OR participants.source = triggers.source)
            AND (triggers.role IS NULL OR participants.role = triggers.role)
)

SELECT DISTINCT
    triggered.entity,
    triggered.entity_type,
    triggered.state_name,
    triggered.state_value,
    measured.value AS state_numeric_value,
    triggered.occurred_ms,
    triggered.source,
    triggered.event_id
FROM triggered
LEFT JOIN nexus_event_measurements AS measured
    ON
        triggered.topic = measured.topic
        AND triggered.log_partition = measured.log_partition
        AND triggered.log_offset = measured.log_offset
        AND triggered.event_index = measured.event_index
        AND triggered.measurement_name = measured.measurement_name
WHERE triggered.measurement_name IS NULL OR measured.value IS NOT NULL
