-- One row for each two synonyms in the components that have to be judged.
SELECT ones.identifier_key AS one_key, others.identifier_key AS other_key
FROM nexus_work_conflicts AS conflicts
INNER JOIN nexus_work_components AS components ON conflicts.component = components.component
INNER JOIN nexus_work_pairs AS pairs ON components.node = pairs.one
INNER JOIN nexus_work_identifiers AS ones ON pairs.one = ones.node
INNER JOIN nexus_work_identifiers AS others ON pairs.other = others.node
WHERE pairs.kind = 'synonym'
