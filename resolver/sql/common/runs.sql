-- One row for each run of activity: from its first instant to its last, without a gap longer than the state's
-- duration.
CREATE OR REPLACE TABLE nexus_work_runs AS
WITH gaps AS (
    SELECT
        activity.*,
        timed.duration_ms,
        LAG(activity.at_ms) OVER (
            PARTITION BY activity.entity, activity.state_name, activity.side ORDER BY activity.at_ms
        ) AS former_ms
    FROM nexus_work_activity AS activity
    INNER JOIN nexus_work_timed AS timed ON activity.state_name = timed.state_name
    WHERE activity.side <> 'until'
),

numbered AS (
    SELECT
        gaps.*,
        SUM(CASE WHEN former_ms IS NULL OR at_ms > former_ms + duration_ms THEN 1 ELSE 0 END) OVER (
            PARTITION BY entity, state_name, side ORDER BY at_ms ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS run
    FROM gaps
)

SELECT entity, entity_type, state_name, side, run, MIN(at_ms) AS first_ms, MAX(at_ms) AS last_ms
FROM numbered
GROUP BY entity, entity_type, state_name, side, run
