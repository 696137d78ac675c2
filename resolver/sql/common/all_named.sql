-- One row for each identifier of a participant in the part of the log that is looked at.
-- In: the identifiers of persons and of groups; nexus_work_cut, where each partition ends (and, for an answer
-- as of then, an instant); nexus_work_retracted, the events of which nothing counts.
CREATE OR REPLACE VIEW nexus_work_all_named AS
SELECT 'person' AS entity_type, named.*
FROM nexus_person_identifiers AS named
INNER JOIN nexus_work_cut AS cut
    ON named.topic = cut.topic AND named.log_partition = cut.log_partition
LEFT JOIN nexus_work_retracted AS retracted
    ON named.source = retracted.source AND named.event_id = retracted.event_id
WHERE
    named.log_offset < cut.next_offset
    AND (cut.until_at IS NULL OR named.ingested_at <= cut.until_at)
    AND retracted.event_id IS NULL
UNION ALL
SELECT 'group' AS entity_type, named.*
FROM nexus_group_identifiers AS named
INNER JOIN nexus_work_cut AS cut
    ON named.topic = cut.topic AND named.log_partition = cut.log_partition
LEFT JOIN nexus_work_retracted AS retracted
    ON named.source = retracted.source AND named.event_id = retracted.event_id
WHERE
    named.log_offset < cut.next_offset
    AND (cut.until_at IS NULL OR named.ingested_at <= cut.until_at)
    AND retracted.event_id IS NULL
