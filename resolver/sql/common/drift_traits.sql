-- Traits that are others by the log than by the stream, in value or in who said it.
-- In: nexus_stream_traits, the stream's answer; nexus_work_compared, the entities that are compared.
WITH authoritative AS (
    SELECT person_id AS entity_id, trait_name, trait_value, source, event_id, occurred_at
    FROM nexus_resolved_person_traits
    WHERE person_id IN (SELECT entity_id FROM nexus_work_compared)
    UNION ALL
    SELECT group_id AS entity_id, trait_name, trait_value, source, event_id, occurred_at
    FROM nexus_resolved_group_traits
    WHERE group_id IN (SELECT entity_id FROM nexus_work_compared)
)

SELECT
    COALESCE(authoritative.entity_id, stream.entity_id) AS entity_id,
    COALESCE(authoritative.trait_name, stream.trait_name) AS trait_name
FROM authoritative
FULL OUTER JOIN nexus_stream_traits AS stream
    ON
        authoritative.entity_id = stream.entity_id
        AND authoritative.trait_name = stream.trait_name
WHERE
    authoritative.trait_value IS DISTINCT FROM stream.trait_value
    OR authoritative.source IS DISTINCT FROM stream.source
    OR authoritative.event_id IS DISTINCT FROM stream.event_id
    OR authoritative.occurred_at IS DISTINCT FROM stream.occurred_at
