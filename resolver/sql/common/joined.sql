-- Each identifier's component after a round.
CREATE OR REPLACE TABLE nexus_work_components AS
SELECT components.node, COALESCE(walk.root, components.component) AS component
FROM nexus_work_components AS components
LEFT JOIN nexus_work_walk AS walk ON components.component = walk.node
