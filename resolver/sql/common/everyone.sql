-- All identifiers, by the log or by the stream, those of an entity one after the other.
-- In: nexus_stream_identifiers, the stream's answer.
WITH named AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
    UNION ALL
    SELECT identifier_key, entity_id FROM nexus_stream_identifiers
    UNION ALL
    SELECT identifier_key, '' AS entity_id FROM nexus_person_identifiers
    UNION ALL
    SELECT identifier_key, '' AS entity_id FROM nexus_group_identifiers
)

SELECT identifier_key, MAX(entity_id) AS entity_id
FROM named
GROUP BY identifier_key
ORDER BY entity_id, identifier_key
