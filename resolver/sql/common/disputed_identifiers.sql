-- One row for each identifier of the components that have to be judged.
SELECT identifiers.node, identifiers.identifier_key, identifiers.identifier_type
FROM nexus_work_conflicts AS conflicts
INNER JOIN nexus_work_components AS components ON conflicts.component = components.component
INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
