-- One row for each link outside of the part that is looked at, of which a membership speaks together with one
-- inside: the entity of its anchor, as the last answer has it, under a number below 0.
CREATE OR REPLACE TABLE nexus_work_outsiders AS
WITH spoken AS (
    SELECT said.person_set_key, said.group_set_key, persons.set_key AS person_home, companies.set_key AS group_home
    FROM nexus_membership_identifiers AS said
    INNER JOIN nexus_work_cut AS cut ON said.topic = cut.topic AND said.log_partition = cut.log_partition
    LEFT JOIN nexus_work_homes AS persons ON said.person_set_key = persons.set_key
    LEFT JOIN nexus_work_homes AS companies ON said.group_set_key = companies.set_key
    WHERE said.log_offset < cut.next_offset
),

wanted AS (
    SELECT DISTINCT CASE WHEN person_home IS NULL THEN person_set_key ELSE group_set_key END AS set_key
    FROM spoken
    WHERE
        COALESCE(person_home, group_home) IS NOT NULL
        AND NOT (person_home IS NOT NULL AND group_home IS NOT NULL)
),

placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
),

ranked AS (
    SELECT
        named.set_key,
        placed.entity_id,
        ROW_NUMBER() OVER (
            PARTITION BY named.set_key
            ORDER BY COALESCE(priorities.priority, 1000000), named.identifier_key
        ) AS place
    FROM wanted
    INNER JOIN nexus_work_all_named AS named ON wanted.set_key = named.set_key
    INNER JOIN placed ON named.identifier_key = placed.identifier_key
    LEFT JOIN nexus_work_priorities AS priorities ON named.identifier_type = priorities.identifier_type
    WHERE named.identifier_key NOT IN (SELECT identifier_key FROM nexus_work_inside)
)

SELECT set_key, entity_id, 0 - RANK() OVER (ORDER BY entity_id) AS entity
FROM ranked
WHERE place = 1
