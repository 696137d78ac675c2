-- One row for each participant whose link has an anchor: of its identifiers in the log the one that is the
-- anchor stands for it. From here on instants are milliseconds since 1970 in UTC.
CREATE OR REPLACE TABLE nexus_work_participants AS
SELECT
    named.topic,
    named.log_partition,
    named.log_offset,
    named.event_index,
    named.participant_index,
    homes.entity_type,
    homes.entity,
    named.role,
    named.event_name,
    named.source,
    named.event_id,
    DATE_PART(EPOCH_MILLISECOND, named.occurred_at) AS occurred_ms
FROM nexus_work_named AS named
INNER JOIN nexus_work_homes AS homes
    ON named.set_key = homes.set_key AND named.identifier_key = homes.anchor_key
