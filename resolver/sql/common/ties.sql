-- One row for each link that unites nothing and each entity of the last answer that holds one of its identifiers.
-- In: nexus_work_ties, the identifiers of these links.
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
)

SELECT DISTINCT ties.place, placed.entity_id, region.entity_id IS NOT NULL AS is_touched
FROM placed
INNER JOIN nexus_work_ties AS ties ON placed.identifier_key = ties.identifier_key
LEFT JOIN nexus_work_region AS region ON placed.entity_id = region.entity_id
