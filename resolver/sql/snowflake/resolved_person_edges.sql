-- One row for each edge between identifiers of persons: a link of k identifiers is a star of k - 1 around the
-- first. Those of suspended links unite nothing: they are left out where their ends are not one entity.
INSERT INTO nexus_person_identifiers_edges (
    edge_id,
    identifier_type_a,
    identifier_value_a,
    identifier_key_a,
    identifier_type_b,
    identifier_value_b,
    identifier_key_b,
    source,
    event_id,
    occurred_at,
    log_position
)
WITH inside AS (
    SELECT members.link, members.node, components.component
    FROM nexus_work_members AS members
    INNER JOIN nexus_work_components AS components ON members.node = components.node
),

centres AS (
    SELECT link, MIN(node) AS node
    FROM inside
    GROUP BY link
    HAVING COUNT(*) > 1
)

SELECT
    LOWER(HEX_ENCODE(links.set_key)) AS edge_id,
    ones.identifier_type AS identifier_type_a,
    ones.identifier_value AS identifier_value_a,
    ones.identifier_key AS identifier_key_a,
    others.identifier_type AS identifier_type_b,
    others.identifier_value AS identifier_value_b,
    others.identifier_key AS identifier_key_b,
    links.source,
    links.event_id,
    links.occurred_at,
    links.first_position AS log_position
FROM centres
INNER JOIN nexus_work_links AS links ON centres.link = links.link
INNER JOIN inside ON centres.link = inside.link AND centres.node <> inside.node
INNER JOIN nexus_work_components AS components
    ON centres.node = components.node AND inside.component = components.component
INNER JOIN nexus_work_identifiers AS ones ON centres.node = ones.node
INNER JOIN nexus_work_identifiers AS others ON inside.node = others.node
WHERE ones.entity_type = 'person'
