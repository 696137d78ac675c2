-- One row for each entity: who it is, and its dates but for those of its events.
CREATE OR REPLACE TABLE nexus_work_lives AS
WITH named AS (
    SELECT components.component, MIN(named.occurred_at) AS created_at
    FROM nexus_work_named AS named
    INNER JOIN nexus_work_identifiers AS identifiers ON named.identifier_key = identifiers.identifier_key
    INNER JOIN nexus_work_components AS components ON identifiers.node = components.node
    GROUP BY components.component
),

-- links that tell two identifiers of one entity
ties AS (
    SELECT members.link, components.component
    FROM nexus_work_members AS members
    INNER JOIN nexus_work_components AS components ON members.node = components.node
    GROUP BY members.link, components.component
    HAVING COUNT(*) > 1
),

merged AS (
    SELECT ties.component, MAX(links.occurred_at) AS merged_at
    FROM ties
    INNER JOIN nexus_work_links AS links ON ties.link = links.link
    GROUP BY ties.component
),

said AS (
    SELECT entity, MAX(occurred_at) AS said_at
    FROM nexus_work_traits
    GROUP BY entity
)

SELECT
    entities.senior AS entity,
    entities.entity_type,
    entities.entity_id,
    links.source,
    named.created_at,
    COALESCE(said.said_at, named.created_at) AS updated_at,
    merged.merged_at
FROM nexus_work_entities AS entities
INNER JOIN nexus_work_nodes AS nodes ON entities.senior = nodes.node
INNER JOIN nexus_work_links AS links ON nodes.link = links.link
INNER JOIN named ON entities.component = named.component
LEFT JOIN merged ON entities.component = merged.component
LEFT JOIN said ON entities.senior = said.entity
