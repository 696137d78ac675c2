-- Intervals of states that are others by the log than by the stream, or that only one of them has.
-- In: nexus_stream_states, the stream's answer; nexus_work_compared, the entities that are compared.
WITH authoritative AS (
    SELECT *
    FROM nexus_states
    WHERE entity_id IN (SELECT entity_id FROM nexus_work_compared)
)

SELECT
    COALESCE(authoritative.entity_id, stream.entity_id) AS entity_id,
    COALESCE(authoritative.state_name, stream.state_name) AS state_name
FROM authoritative
FULL OUTER JOIN nexus_stream_states AS stream
    ON
        authoritative.entity_id = stream.entity_id
        AND authoritative.state_name = stream.state_name
        AND authoritative.state_entered_at = stream.state_entered_at
WHERE
    authoritative.state_entered_at IS DISTINCT FROM stream.state_entered_at
    OR authoritative.state_value IS DISTINCT FROM stream.state_value
    OR authoritative.state_numeric_value IS DISTINCT FROM stream.state_numeric_value
    OR authoritative.state_exited_at IS DISTINCT FROM stream.state_exited_at
