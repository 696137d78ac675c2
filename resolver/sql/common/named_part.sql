-- What the resolution looks at: the part that was touched.
CREATE OR REPLACE VIEW nexus_work_named AS
SELECT * FROM nexus_work_named_inside
