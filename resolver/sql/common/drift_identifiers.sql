-- Identifiers whose entity is another one by the log than by the stream, or that only one of them has.
-- In: nexus_stream_identifiers, the stream's answer.
WITH authoritative AS (
    SELECT identifiers.identifier_key, entities.entity_id
    FROM nexus_work_entities AS entities
    INNER JOIN nexus_work_identifiers AS identifiers ON entities.node = identifiers.node
)

SELECT
    COALESCE(authoritative.identifier_key, stream.identifier_key) AS identifier_key,
    authoritative.entity_id AS expected_id,
    stream.entity_id AS found_id
FROM authoritative
FULL OUTER JOIN nexus_stream_identifiers AS stream ON authoritative.identifier_key = stream.identifier_key
WHERE authoritative.entity_id IS DISTINCT FROM stream.entity_id
