-- One row for each identifier in the graph: its entity's id, made from the key of the entity's oldest.
CREATE OR REPLACE TABLE nexus_work_entities AS
WITH named AS (
    SELECT
        seniors.component,
        seniors.senior,
        identifiers.entity_type,
        CASE identifiers.entity_type WHEN 'person' THEN 'per_' ELSE 'grp_' END
        || LOWER(HEX(identifiers.identifier_key)) AS entity_id
    FROM nexus_work_seniors AS seniors
    INNER JOIN nexus_work_identifiers AS identifiers ON seniors.senior = identifiers.node
)

SELECT components.node, named.senior, named.entity_type, named.entity_id
FROM nexus_work_components AS components
INNER JOIN named ON components.component = named.component
