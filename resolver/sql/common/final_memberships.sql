-- One row for each person, group and role.
INSERT INTO nexus_memberships (
    membership_id,
    person_id,
    group_id,
    role,
    source,
    established_at,
    ended_at,
    is_active,
    _last_updated,
    _processed_at
)
WITH entities AS (
    SELECT senior AS entity, entity_id FROM nexus_work_entities
    UNION ALL
    SELECT DISTINCT entity, entity_id FROM nexus_work_outsiders
)

SELECT
    'mem_' || SUBSTR(persons.entity_id, 5) || '_' || SUBSTR(companies.entity_id, 5)
    || CASE WHEN memberships.role IS NULL THEN '' ELSE '_' || memberships.role END AS membership_id,
    persons.entity_id AS person_id,
    companies.entity_id AS group_id,
    memberships.role,
    memberships.source,
    memberships.established_at,
    memberships.ended_at,
    memberships.ended_at IS NULL AS is_active,
    memberships.last_updated AS _last_updated,
    made.made_at AS _processed_at
FROM nexus_work_memberships AS memberships
INNER JOIN entities AS persons ON memberships.person = persons.entity
INNER JOIN entities AS companies ON memberships.company = companies.entity
CROSS JOIN nexus_work_made AS made
