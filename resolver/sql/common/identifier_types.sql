-- The types of the identifiers that are in the graph: each has a column.
SELECT DISTINCT identifiers.entity_type, identifiers.identifier_type
FROM nexus_work_components AS components
INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
