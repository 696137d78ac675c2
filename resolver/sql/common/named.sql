-- What the resolution looks at: all that is named there.
CREATE OR REPLACE VIEW nexus_work_named AS
SELECT * FROM nexus_work_all_named
