-- One row for each identifier that was named since the last answer, and how old that evidence makes it.
-- In: nexus_work_since, where each partition ended then.
CREATE OR REPLACE TABLE nexus_work_arrived AS
SELECT
    named.entity_type,
    named.identifier_type,
    named.identifier_value,
    named.identifier_key,
    MIN(named.log_position) AS first_position
FROM nexus_work_all_named AS named
LEFT JOIN nexus_work_since AS since
    ON named.topic = since.topic AND named.log_partition = since.log_partition
WHERE named.log_offset >= COALESCE(since.next_offset, 0)
GROUP BY named.entity_type, named.identifier_type, named.identifier_value, named.identifier_key
