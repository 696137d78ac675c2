-- The edges that are left after a round: those between different components.
CREATE OR REPLACE TABLE nexus_work_edges AS
WITH contracted AS (
    SELECT COALESCE(ones.root, edges.one) AS one, COALESCE(others.root, edges.other) AS other
    FROM nexus_work_edges AS edges
    LEFT JOIN nexus_work_walk AS ones ON edges.one = ones.node
    LEFT JOIN nexus_work_walk AS others ON edges.other = others.node
)

SELECT DISTINCT LEAST(one, other) AS one, GREATEST(one, other) AS other
FROM contracted
WHERE one <> other
