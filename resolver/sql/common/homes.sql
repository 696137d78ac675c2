-- One row for each link that has an anchor: of its identifiers in the graph the one of highest type priority,
-- then of the smallest key. What events say of the link's participants, they say of the anchor's entity, which
-- goes by the number of its senior identifier from here on. Priority and number travel as one.
CREATE OR REPLACE TABLE nexus_work_homes AS
WITH anchors AS (
    SELECT
        members.link,
        MOD(MIN(COALESCE(priorities.priority, 1000000) * 2147483648 + members.node), 2147483648) AS anchor
    FROM nexus_work_members AS members
    INNER JOIN nexus_work_components AS components ON members.node = components.node
    LEFT JOIN nexus_work_priorities AS priorities ON members.identifier_type = priorities.identifier_type
    GROUP BY members.link
)

SELECT
    links.set_key,
    identifiers.identifier_key AS anchor_key,
    identifiers.entity_type,
    entities.senior AS entity
FROM anchors
INNER JOIN nexus_work_links AS links ON anchors.link = links.link
INNER JOIN nexus_work_identifiers AS identifiers ON anchors.anchor = identifiers.node
INNER JOIN nexus_work_components AS components ON anchors.anchor = components.node
INNER JOIN nexus_work_entities AS entities ON components.component = entities.component
