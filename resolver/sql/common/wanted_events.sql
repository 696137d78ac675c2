-- One row for each event of which a participant names one of some identifiers.
-- In: nexus_work_wanted, the keys of these identifiers.
CREATE OR REPLACE TABLE nexus_work_wanted_events AS
SELECT DISTINCT named.topic, named.log_partition, named.log_offset, named.event_index
FROM (
    SELECT topic, log_partition, log_offset, event_index, identifier_key FROM nexus_person_identifiers
    UNION ALL
    SELECT topic, log_partition, log_offset, event_index, identifier_key FROM nexus_group_identifiers
) AS named
INNER JOIN nexus_work_wanted AS wanted ON named.identifier_key = wanted.identifier_key
