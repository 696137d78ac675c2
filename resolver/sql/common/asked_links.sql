-- One row for each identifier of each set that the log names as one participant, of those sets that name one of
-- some identifiers: with the first evidence of the set, and its last instant.
-- In: nexus_work_wanted, the keys of these identifiers; nexus_work_bounds, the instant after which nothing counts
-- (none: whenever it came in); nexus_work_retracted, the events of which nothing counts.
WITH named AS (
    SELECT
        'person' AS entity_type,
        set_key,
        identifier_key,
        identifier_type,
        identifier_value,
        log_position,
        ingested_at,
        source,
        event_id
    FROM nexus_person_identifiers
    UNION ALL
    SELECT
        'group' AS entity_type,
        set_key,
        identifier_key,
        identifier_type,
        identifier_value,
        log_position,
        ingested_at,
        source,
        event_id
    FROM nexus_group_identifiers
),

sets AS (
    SELECT named.set_key, MIN(named.log_position) AS first_position, MAX(named.ingested_at) AS last_ingested_at
    FROM named
    INNER JOIN nexus_work_wanted AS wanted ON named.identifier_key = wanted.identifier_key
    LEFT JOIN nexus_work_retracted AS retracted
        ON named.source = retracted.source AND named.event_id = retracted.event_id
    CROSS JOIN nexus_work_bounds AS bounds
    WHERE retracted.event_id IS NULL AND (bounds.until_at IS NULL OR named.ingested_at <= bounds.until_at)
    GROUP BY named.set_key
)

SELECT DISTINCT
    sets.set_key,
    sets.first_position,
    sets.last_ingested_at,
    named.entity_type,
    named.identifier_type,
    named.identifier_value
FROM sets
INNER JOIN named ON sets.set_key = named.set_key
ORDER BY sets.set_key, named.identifier_type, named.identifier_value
