-- Memberships that are others by the log than by the stream, or that only one of them has.
-- In: nexus_stream_memberships, the stream's answer; nexus_work_compared, the entities that are compared.
WITH authoritative AS (
    SELECT *
    FROM nexus_memberships
    WHERE
        person_id IN (SELECT entity_id FROM nexus_work_compared)
        OR group_id IN (SELECT entity_id FROM nexus_work_compared WHERE has_persons)
)

SELECT
    COALESCE(authoritative.person_id, stream.person_id) AS person_id,
    COALESCE(authoritative.group_id, stream.group_id) AS group_id,
    COALESCE(authoritative.role, stream.role) AS role
FROM authoritative
FULL OUTER JOIN nexus_stream_memberships AS stream
    ON
        authoritative.person_id = stream.person_id
        AND authoritative.group_id = stream.group_id
        AND COALESCE(authoritative.role, '') = COALESCE(stream.role, '')
WHERE
    authoritative.established_at IS DISTINCT FROM stream.established_at
    OR authoritative.ended_at IS DISTINCT FROM stream.ended_at
