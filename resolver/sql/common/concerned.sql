-- The identifiers of some entities, by the log or by the stream.
-- In: nexus_work_concerned, the ids of these entities; nexus_stream_identifiers.
SELECT identifiers.identifier_key
FROM nexus_work_entities AS entities
INNER JOIN nexus_work_identifiers AS identifiers ON entities.node = identifiers.node
INNER JOIN nexus_work_concerned AS concerned ON entities.entity_id = concerned.entity_id
UNION DISTINCT
SELECT stream.identifier_key
FROM nexus_stream_identifiers AS stream
INNER JOIN nexus_work_concerned AS concerned ON stream.entity_id = concerned.entity_id
