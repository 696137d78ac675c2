-- One row for each component below the root of its tree: down from the roots, one level in each step. Each has
-- one parent, so each is visited once. What lies deeper than `max_recursion` waits for the next round.
CREATE OR REPLACE TABLE nexus_work_walk AS
WITH RECURSIVE walk AS (
    SELECT forest.node, forest.parent AS root, 1 AS depth
    FROM nexus_work_forest AS forest
    WHERE forest.parent NOT IN (SELECT node FROM nexus_work_forest)
    UNION ALL
    SELECT forest.node, walk.root, walk.depth + 1 AS depth
    FROM walk
    INNER JOIN nexus_work_forest AS forest ON walk.node = forest.parent
    CROSS JOIN nexus_work_salt AS salt
    WHERE walk.depth < salt.max_recursion
)

SELECT node, root, depth FROM walk
