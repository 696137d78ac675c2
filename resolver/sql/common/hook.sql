-- One row for each component that points to another: the neighbour with the least salted number, if that is
-- less than its own. So the pointers only go down, and are a forest.
-- The salt is a permutation of the numbers below the prime p = 2147483647: x -> (factor * x + shift)^5 mod p
-- (5 does not divide p - 1), another one in each round. It keeps the trees low: about log n. Those with many
-- neighbours come before all others, so that a star is one tree at once. A salted number and its component
-- travel as one number, salted * 2^31 + component; nothing here exceeds 2^63.
CREATE OR REPLACE TABLE nexus_work_forest AS
WITH ends AS (
    SELECT one AS node, other AS neighbour FROM nexus_work_edges
    UNION ALL
    SELECT other AS node, one AS neighbour FROM nexus_work_edges
),

degrees AS (
    SELECT node, CASE WHEN COUNT(*) > 16 THEN 0 ELSE 2147483648 END AS after_hubs
    FROM ends
    GROUP BY node
),

nodes AS (
    SELECT
        degrees.node,
        degrees.after_hubs,
        MOD(degrees.node * salt.factor + salt.shift, 2147483647) AS x
    FROM degrees
    CROSS JOIN nexus_work_salt AS salt
),

squared AS (
    SELECT node, after_hubs, x, MOD(x * x, 2147483647) AS x2 FROM nodes
),

salted AS (
    SELECT
        node,
        (after_hubs + MOD(MOD(x2 * x2, 2147483647) * x, 2147483647)) * 2147483648 + node AS salted
    FROM squared
),

least AS (
    SELECT ends.node, MIN(salted.salted) AS salted
    FROM ends
    INNER JOIN salted ON ends.neighbour = salted.node
    GROUP BY ends.node
)

SELECT least.node, MOD(least.salted, 2147483648) AS parent
FROM least
INNER JOIN salted ON least.node = salted.node
WHERE least.salted < salted.salted
