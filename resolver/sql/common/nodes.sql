-- One row for each identifier that a link holds: it is as old as the oldest of these, the one of least number.
CREATE OR REPLACE TABLE nexus_work_nodes AS
SELECT node, MIN(age) AS age, MIN(link) AS link
FROM nexus_work_members
GROUP BY node
