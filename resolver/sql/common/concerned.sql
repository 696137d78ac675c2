-- The identifiers of some entities, by the log or by the stream.
-- In: nexus_work_concerned, the ids of these entities; nexus_stream_identifiers, the stream's answer.
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
    UNION ALL
    SELECT identifier_key, entity_id FROM nexus_stream_identifiers
)

SELECT DISTINCT placed.identifier_key
FROM placed
INNER JOIN nexus_work_concerned AS concerned ON placed.entity_id = concerned.entity_id
