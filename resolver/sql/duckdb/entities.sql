-- One row for each entity: its id, made from the key of its oldest identifier.
CREATE OR REPLACE TABLE nexus_work_entities AS
SELECT
    seniors.component,
    seniors.senior,
    identifiers.entity_type,
    CASE identifiers.entity_type WHEN 'person' THEN 'per_' ELSE 'grp_' END
    || LOWER(HEX(identifiers.identifier_key)) AS entity_id
FROM nexus_work_seniors AS seniors
INNER JOIN nexus_work_identifiers AS identifiers ON seniors.senior = identifiers.node
