-- Memberships that are others by the log than by the stream, or that only one of them has.
-- In: nexus_stream_memberships, the stream's answer.
SELECT
    COALESCE(authoritative.person_id, stream.person_id) AS person_id,
    COALESCE(authoritative.group_id, stream.group_id) AS group_id,
    COALESCE(authoritative.role, stream.role) AS role
FROM nexus_memberships AS authoritative
FULL OUTER JOIN nexus_stream_memberships AS stream
    ON
        authoritative.person_id = stream.person_id
        AND authoritative.group_id = stream.group_id
        AND COALESCE(authoritative.role, '') = COALESCE(stream.role, '')
WHERE
    authoritative.established_at IS DISTINCT FROM stream.established_at
    OR authoritative.ended_at IS DISTINCT FROM stream.ended_at
