-- One row for each partition of the log: behind its last message that names somebody.
WITH places AS (
    SELECT topic, log_partition, MAX(log_offset) AS log_offset
    FROM nexus_person_identifiers
    GROUP BY topic, log_partition
    UNION ALL
    SELECT topic, log_partition, MAX(log_offset) AS log_offset
    FROM nexus_group_identifiers
    GROUP BY topic, log_partition
)

SELECT topic, log_partition, MAX(log_offset) + 1 AS next_offset
FROM places
GROUP BY topic, log_partition
