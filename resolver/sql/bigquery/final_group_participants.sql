-- One row for each group that takes part in an event, and its role there. The parts of the row's id are preceded
-- by their lengths: no two rows have one id.
INSERT INTO nexus_group_participants (
    group_participant_id,
    event_id,
    source,
    group_id,
    role,
    occurred_at
)
WITH participants AS (
    SELECT DISTINCT event_id, source, entity, role, occurred_ms
    FROM nexus_work_participants
    WHERE entity_type = 'group'
)

SELECT
    SUBSTR(entities.entity_id, 5) || '_' || CAST(participants.occurred_ms AS STRING)
    || '_' || CAST(LENGTH(participants.source) AS STRING) || '_' || participants.source
    || '_' || CAST(LENGTH(participants.event_id) AS STRING) || '_' || participants.event_id
    || CASE WHEN participants.role IS NULL THEN '' ELSE '_' || participants.role END AS group_participant_id,
    participants.event_id,
    participants.source,
    entities.entity_id AS group_id,
    participants.role,
    TIMESTAMP_MILLIS(participants.occurred_ms) AS occurred_at
FROM participants
INNER JOIN nexus_work_entities AS entities ON participants.entity = entities.senior
