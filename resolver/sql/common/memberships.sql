-- One row for each person, group and role: since the earliest evidence, and until the last if that ends it.
-- nexus_work_outsiders: where a part of the log is looked at, the homes of links outside of it.
CREATE OR REPLACE TABLE nexus_work_memberships AS
WITH homes AS (
    SELECT set_key, entity FROM nexus_work_homes
    UNION ALL
    SELECT set_key, entity FROM nexus_work_outsiders
),

ranked AS (
    SELECT
        persons.entity AS person,
        companies.entity AS company,
        said.role,
        said.source,
        said.occurred_at,
        said.ended,
        ROW_NUMBER() OVER (
            PARTITION BY persons.entity, companies.entity, said.role
            ORDER BY said.occurred_at, said.source, said.event_id
        ) AS from_first,
        ROW_NUMBER() OVER (
            PARTITION BY persons.entity, companies.entity, said.role
            ORDER BY
                said.occurred_at DESC,
                said.source DESC,
                said.event_id DESC,
                CASE WHEN said.ended THEN 0 ELSE 1 END
        ) AS from_last
    FROM nexus_membership_identifiers AS said
    INNER JOIN nexus_work_cut AS cut ON said.topic = cut.topic AND said.log_partition = cut.log_partition
    INNER JOIN homes AS persons ON said.person_set_key = persons.set_key
    INNER JOIN homes AS companies ON said.group_set_key = companies.set_key
    LEFT JOIN nexus_work_retracted AS retracted
        ON said.source = retracted.source AND said.event_id = retracted.event_id
    WHERE
        said.log_offset < cut.next_offset
        AND (cut.until_at IS NULL OR said.ingested_at <= cut.until_at)
        AND GREATEST(persons.entity, companies.entity) >= 0
        AND retracted.event_id IS NULL
)

SELECT
    person,
    company,
    role,
    MAX(CASE WHEN from_first = 1 THEN source END) AS source,
    MIN(occurred_at) AS established_at,
    MAX(CASE WHEN from_last = 1 AND ended THEN occurred_at END) AS ended_at,
    MAX(occurred_at) AS last_updated
FROM ranked
GROUP BY person, company, role
