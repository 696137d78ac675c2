-- One row for each link of the identifiers inside of the part that is looked at.
CREATE OR REPLACE TABLE nexus_work_sets AS
WITH found AS (
    SELECT named.set_key
    FROM nexus_person_identifiers AS named
    INNER JOIN nexus_work_inside AS inside ON named.identifier_key = inside.identifier_key
    UNION ALL
    SELECT named.set_key
    FROM nexus_group_identifiers AS named
    INNER JOIN nexus_work_inside AS inside ON named.identifier_key = inside.identifier_key
)

SELECT DISTINCT set_key FROM found
