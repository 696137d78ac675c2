-- Persons and groups that take part in events.
CREATE OR REPLACE VIEW nexus_entity_participants COPY GRANTS AS
SELECT
    person_participant_id AS entity_participant_id,
    'person' AS entity_type,
    event_id,
    source,
    person_id AS entity_id,
    role,
    occurred_at
FROM nexus_person_participants
UNION ALL
SELECT
    group_participant_id AS entity_participant_id,
    'group' AS entity_type,
    event_id,
    source,
    group_id AS entity_id,
    role,
    occurred_at
FROM nexus_group_participants
