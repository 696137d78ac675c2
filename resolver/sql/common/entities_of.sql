-- The entities of some identifiers, by the log or by the stream.
-- In: nexus_work_wanted, the keys of these identifiers; nexus_stream_identifiers, the stream's answer.
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
    UNION ALL
    SELECT identifier_key, entity_id FROM nexus_stream_identifiers
)

SELECT DISTINCT placed.entity_id
FROM placed
INNER JOIN nexus_work_wanted AS wanted ON placed.identifier_key = wanted.identifier_key
