-- One row for each identifier that is out of the graph: quarantined, or blocked by an operator; or that is on the
-- fringe of a part, about which nothing is to be found out.
CREATE OR REPLACE TABLE nexus_work_guarded AS
SELECT node FROM nexus_work_quarantined
UNION ALL
SELECT nodes.node
FROM nexus_work_nodes AS nodes
INNER JOIN nexus_work_identifiers AS identifiers ON nodes.node = identifiers.node
INNER JOIN nexus_work_blocked AS blocked ON identifiers.identifier_key = blocked.identifier_key
UNION ALL
SELECT node FROM nexus_work_fringe
