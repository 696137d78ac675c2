-- One row for each identifier inside of the part that is looked at: whoever it was one with is there as well, and
-- whoever it may be one with now.
CREATE OR REPLACE TABLE nexus_work_inside AS
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
),

found AS (
    SELECT identifier_key FROM nexus_work_seeds
    UNION ALL
    SELECT placed.identifier_key
    FROM placed
    INNER JOIN nexus_work_region AS region ON placed.entity_id = region.entity_id
)

SELECT DISTINCT identifier_key FROM found
