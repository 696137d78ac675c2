-- Each identifier's component once the conflicts are judged.
CREATE OR REPLACE TABLE nexus_work_components AS
SELECT components.node, COALESCE(judged.component, components.component) AS component
FROM nexus_work_components AS components
LEFT JOIN nexus_work_judged AS judged ON components.node = judged.node
