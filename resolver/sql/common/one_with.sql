-- One row for each identifier that the log has in one entity with some others, these included.
-- In: nexus_work_wanted, the keys of these others.
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
),

entities AS (
    SELECT DISTINCT placed.entity_id
    FROM placed
    INNER JOIN nexus_work_wanted AS wanted ON placed.identifier_key = wanted.identifier_key
)

SELECT placed.identifier_key, placed.entity_id
FROM placed
INNER JOIN entities ON placed.entity_id = entities.entity_id
