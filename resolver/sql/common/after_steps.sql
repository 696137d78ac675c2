-- Into nexus_work_steps: what is so because for some time nothing happened, as of nexus_work_now. Each run of
-- activity ends with the silence behind it, if that was long enough by now.
INSERT INTO nexus_work_steps (entity, entity_type, state_name, at_ms, has_value, state_value)
SELECT
    runs.entity,
    runs.entity_type,
    runs.state_name,
    runs.first_ms AS at_ms,
    CASE WHEN timed.value_before IS NULL THEN 0 ELSE 1 END AS has_value,
    timed.value_before AS state_value
FROM nexus_work_runs AS runs
INNER JOIN nexus_work_timed AS timed ON runs.state_name = timed.state_name
WHERE runs.side = 'active'
UNION ALL
SELECT
    runs.entity,
    runs.entity_type,
    runs.state_name,
    runs.last_ms + timed.duration_ms AS at_ms,
    1 AS has_value,
    timed.state_value
FROM nexus_work_runs AS runs
INNER JOIN nexus_work_timed AS timed ON runs.state_name = timed.state_name
CROSS JOIN nexus_work_now AS clock
WHERE runs.side = 'active' AND runs.last_ms + timed.duration_ms <= clock.now_ms
