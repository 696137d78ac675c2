-- One row for each two identifiers in the graph that are one without an event: a former id and the user or
-- anonymous id of the same value (schemas/synonyms.py), and what an operator put together. One that came back
-- after an erasure (nexus_work_reborn) has no synonyms.
CREATE OR REPLACE TABLE nexus_work_pairs AS
WITH inside AS (
    SELECT identifiers.*
    FROM nexus_work_identifiers AS identifiers
    INNER JOIN nexus_work_nodes AS nodes ON identifiers.node = nodes.node
    WHERE identifiers.node NOT IN (SELECT node FROM nexus_work_guarded)
),

once_born AS (
    SELECT node, identifier_type, identifier_value
    FROM inside
    WHERE
        entity_type = 'person'
        AND identifier_type IN ('previous_id', 'user_id', 'anonymous_id')
        AND identifier_key NOT IN (SELECT identifier_key FROM nexus_work_reborn)
)

SELECT 'synonym' AS kind, former.node AS one, known.node AS other
FROM once_born AS former
INNER JOIN once_born AS known ON former.identifier_value = known.identifier_value
WHERE former.identifier_type = 'previous_id' AND known.identifier_type <> 'previous_id'
UNION ALL
SELECT 'together' AS kind, first_ones.node AS one, second_ones.node AS other
FROM nexus_work_together AS together
INNER JOIN inside AS first_ones ON together.one_key = first_ones.identifier_key
INNER JOIN inside AS second_ones ON together.other_key = second_ones.identifier_key
