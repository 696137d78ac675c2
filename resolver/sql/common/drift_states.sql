-- Intervals of states that are others by the log than by the stream, or that only one of them has.
-- In: nexus_stream_states, the stream's answer.
WITH authoritative AS (
    SELECT
        entities.entity_id,
        states.state_name,
        states.state_value,
        states.state_numeric_value,
        states.entered_ms,
        states.exited_ms
    FROM nexus_work_states AS states
    INNER JOIN nexus_work_entities AS entities ON states.entity = entities.node
)

SELECT
    COALESCE(authoritative.entity_id, stream.entity_id) AS entity_id,
    COALESCE(authoritative.state_name, stream.state_name) AS state_name
FROM authoritative
FULL OUTER JOIN nexus_stream_states AS stream
    ON
        authoritative.entity_id = stream.entity_id
        AND authoritative.state_name = stream.state_name
        AND authoritative.entered_ms = stream.entered_ms
WHERE
    authoritative.entered_ms IS DISTINCT FROM stream.entered_ms
    OR authoritative.state_value IS DISTINCT FROM stream.state_value
    OR authoritative.state_numeric_value IS DISTINCT FROM stream.state_numeric_value
    OR authoritative.exited_ms IS DISTINCT FROM stream.exited_ms
