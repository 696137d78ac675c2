-- One row for each identifier that was named together with one that is asked about.
CREATE OR REPLACE TABLE nexus_work_named_with AS
SELECT DISTINCT others.identifier_key
FROM nexus_work_all_named AS ones
INNER JOIN nexus_work_asked AS asked ON ones.identifier_key = asked.identifier_key
INNER JOIN nexus_work_all_named AS others ON ones.set_key = others.set_key
