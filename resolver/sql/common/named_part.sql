-- What the resolution looks at: the part that was touched, up to where the log ends.
CREATE OR REPLACE VIEW nexus_work_named AS
SELECT named.*
FROM nexus_work_named_inside AS named
INNER JOIN nexus_work_cut AS cut
    ON named.topic = cut.topic AND named.log_partition = cut.log_partition
WHERE named.log_offset < cut.next_offset
