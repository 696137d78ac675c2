-- One row for each identifier of the links that tie the components which have to be judged; also those
-- identifiers that are out of the graph. Link after link, by key.
WITH disputed AS (
    SELECT DISTINCT members.link
    FROM nexus_work_conflicts AS conflicts
    INNER JOIN nexus_work_components AS components ON conflicts.component = components.component
    INNER JOIN nexus_work_members AS members ON components.node = members.node
)

SELECT links.link, links.first_position, identifiers.identifier_key
FROM disputed
INNER JOIN nexus_work_links AS links ON disputed.link = links.link
INNER JOIN nexus_work_members AS members ON disputed.link = members.link
INNER JOIN nexus_work_identifiers AS identifiers ON members.node = identifiers.node
ORDER BY links.link, identifiers.identifier_key
