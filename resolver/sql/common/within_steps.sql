-- Into nexus_work_steps: what is so because something did not happen in time, as of nexus_work_now. Each run of
-- starts gives what is awaited time from its first instant on; what comes later ends the state.
INSERT INTO nexus_work_steps (entity, entity_type, state_name, at_ms, has_value, state_value)
WITH instants AS (
    SELECT entity, entity_type, state_name, first_ms AS at_ms, 0 AS is_awaited
    FROM nexus_work_runs
    WHERE side = 'since'
    UNION ALL
    SELECT entity, entity_type, state_name, at_ms, 1 AS is_awaited
    FROM nexus_work_activity
    WHERE side = 'until'
),

waits AS (
    SELECT
        instants.*,
        MIN(CASE WHEN is_awaited = 1 THEN at_ms END) OVER (
            PARTITION BY entity, state_name ORDER BY at_ms DESC, is_awaited DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS awaited_ms
    FROM instants
),

missed AS (
    SELECT
        waits.entity,
        waits.entity_type,
        waits.state_name,
        timed.state_value,
        waits.at_ms + timed.duration_ms AS deadline_ms,
        waits.awaited_ms
    FROM waits
    INNER JOIN nexus_work_timed AS timed ON waits.state_name = timed.state_name
    CROSS JOIN nexus_work_now AS clock
    WHERE
        waits.is_awaited = 0
        AND waits.at_ms + timed.duration_ms <= clock.now_ms
        AND (waits.awaited_ms IS NULL OR waits.awaited_ms > waits.at_ms + timed.duration_ms)
),

ends AS (
    SELECT DISTINCT entity, entity_type, state_name, awaited_ms
    FROM missed
    WHERE awaited_ms IS NOT NULL
)

SELECT entity, entity_type, state_name, deadline_ms AS at_ms, 1 AS has_value, state_value
FROM missed
UNION ALL
SELECT entity, entity_type, state_name, awaited_ms AS at_ms, 0 AS has_value, NULL AS state_value
FROM ends
