-- The traits of each entity that have a column, as text: of a string what it says, of all else its JSON.
-- In: nexus_work_trait_columns, which column each trait has.
CREATE OR REPLACE TABLE nexus_work_plain_traits AS
SELECT
    said.entity,
    columns.column_name,
    said.trait_name,
    CASE
        WHEN said.trait_value LIKE '"%' THEN JSON_VALUE(said.trait_value)
        ELSE said.trait_value
    END AS trait_text,
    said.occurred_at,
    said.source,
    said.event_id
FROM nexus_work_traits AS said
INNER JOIN nexus_work_trait_columns AS columns
    ON said.entity_type = columns.entity_type AND said.trait_name = columns.trait_name
WHERE columns.column_name IS NOT NULL
