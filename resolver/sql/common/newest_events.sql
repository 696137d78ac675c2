-- One row for each place of the log where one of the newest events lies of which a participant is named by one of
-- some sets; of an event that came more than once that is all of its places.
-- In: nexus_work_wanted_sets, the keys of these sets; nexus_work_bounds, how many events; nexus_work_retracted, the
-- events of which nothing counts.
CREATE OR REPLACE TABLE nexus_work_wanted_events AS
WITH places AS (
    SELECT named.topic, named.log_partition, named.log_offset, named.event_index
    FROM (
        SELECT topic, log_partition, log_offset, event_index, set_key FROM nexus_person_identifiers
        UNION ALL
        SELECT topic, log_partition, log_offset, event_index, set_key FROM nexus_group_identifiers
    ) AS named
    INNER JOIN nexus_work_wanted_sets AS wanted ON named.set_key = wanted.set_key
    GROUP BY named.topic, named.log_partition, named.log_offset, named.event_index
),

ranked AS (
    SELECT
        events.topic,
        events.log_partition,
        events.log_offset,
        events.event_index,
        DENSE_RANK() OVER (
            ORDER BY events.occurred_at DESC, events.source DESC, events.event_id DESC
        ) AS place
    FROM nexus_events AS events
    INNER JOIN places
        ON
            events.topic = places.topic
            AND events.log_partition = places.log_partition
            AND events.log_offset = places.log_offset
            AND events.event_index = places.event_index
    LEFT JOIN nexus_work_retracted AS retracted
        ON events.source = retracted.source AND events.event_id = retracted.event_id
    WHERE retracted.event_id IS NULL
)

SELECT ranked.topic, ranked.log_partition, ranked.log_offset, ranked.event_index
FROM ranked
CROSS JOIN nexus_work_bounds AS bounds
WHERE ranked.place <= bounds.most
