-- One row for each identifier that is named in the links of the part that is looked at, wherever the log ends.
CREATE OR REPLACE TABLE nexus_work_named_inside AS
SELECT 'person' AS entity_type, named.*
FROM nexus_person_identifiers AS named
INNER JOIN nexus_work_sets AS sets ON named.set_key = sets.set_key
UNION ALL
SELECT 'group' AS entity_type, named.*
FROM nexus_group_identifiers AS named
INNER JOIN nexus_work_sets AS sets ON named.set_key = sets.set_key
