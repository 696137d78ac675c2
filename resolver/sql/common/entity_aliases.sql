-- One row for each identifier that is not its entity's oldest: the id made from it answers with the entity.
INSERT INTO nexus_entity_aliases (
    alias_id,
    entity_id,
    entity_type,
    identifier_type,
    identifier_value,
    identifier_key
)
SELECT
    identifiers.own_id AS alias_id,
    entities.entity_id,
    entities.entity_type,
    identifiers.identifier_type,
    identifiers.identifier_value,
    identifiers.identifier_key
FROM nexus_work_components AS components
INNER JOIN nexus_work_entities AS entities ON components.component = entities.component
INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
WHERE components.node <> entities.senior
