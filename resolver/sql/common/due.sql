-- One row for each entity of which a timed state may change if nothing more happens: when, at the earliest.
CREATE OR REPLACE TABLE nexus_work_due AS
WITH due AS (
    SELECT
        runs.entity,
        CASE runs.side WHEN 'active' THEN runs.last_ms ELSE runs.first_ms END + timed.duration_ms AS due_ms
    FROM nexus_work_runs AS runs
    INNER JOIN nexus_work_timed AS timed ON runs.state_name = timed.state_name
)

SELECT due.entity, MIN(due.due_ms) AS due_ms
FROM due
CROSS JOIN nexus_work_now AS clock
WHERE due.due_ms > clock.now_ms
GROUP BY due.entity
