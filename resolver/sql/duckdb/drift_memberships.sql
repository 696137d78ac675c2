-- Memberships that are others by the log than by the stream, or that only one of them has.
-- In: nexus_stream_memberships, the stream's answer.
WITH authoritative AS (
    SELECT
        persons.entity_id AS person_id,
        companies.entity_id AS group_id,
        memberships.role,
        EPOCH_MS(memberships.established_at) AS started_ms,
        EPOCH_MS(memberships.ended_at) AS ended_ms
    FROM nexus_work_memberships AS memberships
    INNER JOIN nexus_work_entities AS persons ON memberships.person = persons.node
    INNER JOIN nexus_work_entities AS companies ON memberships.company = companies.node
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
    authoritative.started_ms IS DISTINCT FROM stream.started_ms
    OR authoritative.ended_ms IS DISTINCT FROM stream.ended_ms
