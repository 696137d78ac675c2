-- One row for each of an entity's columns for traits that it has something for, as text: the trait, of several
-- that share a column the one that was said last; where there is none, its oldest identifier of that type.
-- In: nexus_work_identifier_columns, which column each type has.
CREATE OR REPLACE TABLE nexus_work_texts AS
WITH traits AS (
    SELECT
        entity,
        column_name,
        trait_text,
        ROW_NUMBER() OVER (
            PARTITION BY entity, column_name
            ORDER BY occurred_at DESC, source DESC, event_id DESC, trait_name
        ) AS place
    FROM nexus_work_plain_traits
),

identifiers AS (
    SELECT
        entities.senior AS entity,
        columns.column_name,
        identifiers.identifier_value,
        ROW_NUMBER() OVER (
            PARTITION BY entities.senior, columns.column_name ORDER BY nodes.age, nodes.node
        ) AS place
    FROM nexus_work_entities AS entities
    INNER JOIN nexus_work_components AS components ON entities.component = components.component
    INNER JOIN nexus_work_nodes AS nodes ON components.node = nodes.node
    INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
    INNER JOIN nexus_work_identifier_columns AS columns
        ON
            identifiers.entity_type = columns.entity_type
            AND identifiers.identifier_type = columns.identifier_type
),

last_said AS (
    SELECT entity, column_name, trait_text
    FROM traits
    WHERE place = 1
),

oldest AS (
    SELECT entity, column_name, identifier_value
    FROM identifiers
    WHERE place = 1 AND column_name IS NOT NULL
)

SELECT
    COALESCE(last_said.entity, oldest.entity) AS entity,
    COALESCE(last_said.column_name, oldest.column_name) AS column_name,
    COALESCE(last_said.trait_text, oldest.identifier_value) AS said
FROM last_said
FULL OUTER JOIN oldest ON last_said.entity = oldest.entity AND last_said.column_name = oldest.column_name
