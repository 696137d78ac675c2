-- One row for each identifier of persons that is in the graph, with the oldest evidence of it.
CREATE OR REPLACE TABLE nexus_resolved_person_identifiers AS
WITH first_links AS (
    SELECT nodes.node, MIN(members.link) AS link
    FROM nexus_work_nodes AS nodes
    INNER JOIN nexus_work_members AS members ON nodes.node = members.node AND nodes.age = members.age
    GROUP BY nodes.node
)

SELECT
    entities.entity_id AS person_id,
    identifiers.identifier_type,
    identifiers.identifier_value,
    identifiers.identifier_key,
    links.source,
    links.event_id,
    links.occurred_at,
    links.first_position AS log_position
FROM nexus_work_components AS components
INNER JOIN nexus_work_entities AS entities ON components.component = entities.component
INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
INNER JOIN first_links ON components.node = first_links.node
INNER JOIN nexus_work_links AS links ON first_links.link = links.link
WHERE entities.entity_type = 'person'
