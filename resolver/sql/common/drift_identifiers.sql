-- Identifiers whose entity is another one by the log than by the stream, or that only one of them has; and
-- whether the other answer has an entity of that id as well.
-- In: nexus_stream_identifiers, the stream's answer; nexus_work_compared, the entities that are compared.
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
),

authoritative AS (
    SELECT identifier_key, entity_id
    FROM placed
    WHERE entity_id IN (SELECT entity_id FROM nexus_work_compared)
),

moved AS (
    SELECT
        COALESCE(authoritative.identifier_key, stream.identifier_key) AS identifier_key,
        authoritative.entity_id AS expected_id,
        stream.entity_id AS found_id
    FROM authoritative
    FULL OUTER JOIN nexus_stream_identifiers AS stream
        ON authoritative.identifier_key = stream.identifier_key
    WHERE authoritative.entity_id IS DISTINCT FROM stream.entity_id
),

expected AS (
    SELECT DISTINCT entity_id FROM authoritative
),

found AS (
    SELECT DISTINCT entity_id FROM nexus_stream_identifiers
)

SELECT
    moved.identifier_key,
    moved.expected_id,
    moved.found_id,
    expected.entity_id IS NOT NULL OR found.entity_id IS NOT NULL AS is_known
FROM moved
LEFT JOIN expected ON moved.found_id = expected.entity_id
LEFT JOIN found ON moved.expected_id = found.entity_id
