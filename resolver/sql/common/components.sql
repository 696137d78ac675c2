-- One row for each identifier in the graph; at first each is a component of its own.
CREATE OR REPLACE TABLE nexus_work_components AS
SELECT node, node AS component
FROM nexus_work_nodes
WHERE node NOT IN (SELECT node FROM nexus_work_guarded)
