-- One row for each entity: its oldest identifier, which lends it the id; of several the one with the smallest
-- key, that is, number. Age and number travel as one: age * 2^31 + number.
CREATE OR REPLACE TABLE nexus_work_entities AS
WITH seniors AS (
    SELECT
        components.component,
        MOD(MIN(nodes.age * 2147483648 + nodes.node), 2147483648) AS senior
    FROM nexus_work_components AS components
    INNER JOIN nexus_work_nodes AS nodes ON components.node = nodes.node
    GROUP BY components.component
)

SELECT seniors.component, seniors.senior, identifiers.entity_type, identifiers.own_id AS entity_id
FROM seniors
INNER JOIN nexus_work_identifiers AS identifiers ON seniors.senior = identifiers.node
