-- One row for each two components that are to be one; at first each is an identifier. A link of k identifiers
-- is a star of k - 1 edges around the first of them.
CREATE OR REPLACE TABLE nexus_work_edges AS
WITH inside AS (
    SELECT link, node
    FROM nexus_work_members
    WHERE node NOT IN (SELECT node FROM nexus_work_guarded)
),

centres AS (
    SELECT link, MIN(node) AS centre
    FROM inside
    GROUP BY link
    HAVING COUNT(*) > 1
),

edges AS (
    SELECT centres.centre AS one, inside.node AS other
    FROM inside
    INNER JOIN centres ON inside.link = centres.link
    WHERE inside.node <> centres.centre
    UNION ALL
    SELECT one, other FROM nexus_work_pairs
)

SELECT DISTINCT one, other FROM edges
