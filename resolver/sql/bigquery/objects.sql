-- One row for each entity that has traits: all of them as one canonical object.
-- In: nexus_work_trait_columns, each trait's name as JSON has it.
CREATE OR REPLACE TABLE nexus_work_objects AS
SELECT
    said.entity,
    '{' || STRING_AGG(columns.trait_key || ':' || said.trait_value, ',' ORDER BY said.trait_name) || '}' AS traits
FROM nexus_work_traits AS said
INNER JOIN nexus_work_trait_columns AS columns
    ON said.entity_type = columns.entity_type AND said.trait_name = columns.trait_name
GROUP BY said.entity
