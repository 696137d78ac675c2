-- One row for each two identifiers in the graph that are one without an event: a former id and the user or
-- anonymous id of the same value (schemas/synonyms.py), and what an operator put together. One that came back
-- after an erasure (nexus_work_reborn) has no synonyms.
CREATE OR REPLACE TABLE nexus_work_pairs AS
WITH once_born AS (
    SELECT node, identifier_type, identifier_value
    FROM nexus_work_identifiers
    WHERE
        entity_type = 'person'
        AND identifier_type IN ('previous_id', 'user_id', 'anonymous_id')
        AND identifier_key NOT IN (SELECT identifier_key FROM nexus_work_reborn)
),

pairs AS (
    SELECT 'synonym' AS kind, former.node AS one, known.node AS other
    FROM once_born AS former
    INNER JOIN once_born AS known ON former.identifier_value = known.identifier_value
    WHERE former.identifier_type = 'previous_id' AND known.identifier_type <> 'previous_id'
    UNION ALL
    SELECT 'together' AS kind, ones.node AS one, others.node AS other
    FROM nexus_work_together AS together
    INNER JOIN nexus_work_identifiers AS ones ON together.one_key = ones.identifier_key
    INNER JOIN nexus_work_identifiers AS others ON together.other_key = others.identifier_key
)

SELECT pairs.kind, pairs.one, pairs.other
FROM pairs
INNER JOIN nexus_work_components AS ones ON pairs.one = ones.node
INNER JOIN nexus_work_components AS others ON pairs.other = others.node
