-- One row for each place of the log where one of some events lies: as often as it came.
-- In: nexus_work_retracted, sources and ids of these events.
CREATE OR REPLACE TABLE nexus_work_wanted_events AS
SELECT DISTINCT events.topic, events.log_partition, events.log_offset, events.event_index
FROM nexus_events AS events
INNER JOIN nexus_work_retracted AS wanted
    ON events.source = wanted.source AND events.event_id = wanted.event_id
