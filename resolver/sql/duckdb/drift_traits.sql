-- Traits that are others by the log than by the stream, in value or in who said it.
-- In: nexus_stream_traits, the stream's answer.
WITH authoritative AS (
    SELECT
        entities.entity_id,
        traits.trait_name,
        traits.trait_value,
        traits.source,
        traits.event_id,
        EPOCH_MS(traits.occurred_at) AS occurred_ms
    FROM nexus_work_traits AS traits
    INNER JOIN nexus_work_entities AS entities ON traits.entity = entities.node
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
    OR authoritative.occurred_ms IS DISTINCT FROM stream.occurred_ms
