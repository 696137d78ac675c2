-- One row for each identifier that the links of a part name and that is not inside of it: it is out of the graph,
-- or belongs to an entity that nothing here can change.
CREATE OR REPLACE TABLE nexus_work_fringe AS
SELECT node
FROM nexus_work_identifiers
WHERE identifier_key NOT IN (SELECT identifier_key FROM nexus_work_inside)
