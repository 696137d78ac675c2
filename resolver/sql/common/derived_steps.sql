-- Into nexus_work_steps: a state that follows from others (nexus_work_derived: its name), evaluated once per
-- instant at which one of these changes. nexus_work_comparisons: what the formulas compare, by number;
-- nexus_work_outcomes: the value that each formula gives. An absent state makes a comparison false.
INSERT INTO nexus_work_steps (entity, entity_type, state_name, at_ms, has_value, state_value)
WITH inputs AS (
    SELECT DISTINCT input_name FROM nexus_work_comparisons
),

timelines AS (
    SELECT
        states.*,
        LEAD(states.entered_ms) OVER (
            PARTITION BY states.entity, states.state_name ORDER BY states.entered_ms
        ) AS next_ms
    FROM nexus_work_states AS states
    INNER JOIN inputs ON states.state_name = inputs.input_name
    INNER JOIN nexus_work_derived AS derived ON states.entity_type = derived.entity_type
),

changes AS (
    SELECT entity, state_name, entered_ms AS at_ms, state_value, state_numeric_value FROM timelines
    UNION ALL
    SELECT entity, state_name, exited_ms AS at_ms, NULL AS state_value, NULL AS state_numeric_value
    FROM timelines
    WHERE exited_ms IS NOT NULL AND exited_ms IS DISTINCT FROM next_ms
),

points AS (
    SELECT DISTINCT entity, at_ms FROM changes
),

since_changes AS (
    SELECT
        points.entity,
        points.at_ms,
        inputs.input_name,
        changes.state_value,
        changes.state_numeric_value,
        COUNT(changes.at_ms) OVER (
            PARTITION BY points.entity, inputs.input_name ORDER BY points.at_ms ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS change
    FROM points
    CROSS JOIN inputs
    LEFT JOIN changes
        ON
            points.entity = changes.entity
            AND points.at_ms = changes.at_ms
            AND inputs.input_name = changes.state_name
),

in_force AS (
    SELECT
        entity,
        at_ms,
        input_name,
        MAX(state_value) OVER (PARTITION BY entity, input_name, change) AS state_value,
        MAX(state_numeric_value) OVER (PARTITION BY entity, input_name, change) AS state_numeric_value
    FROM since_changes
),

compared AS (
    SELECT in_force.entity, in_force.at_ms, comparisons.comparison
    FROM in_force
    LEFT JOIN nexus_work_comparisons AS comparisons
        ON
            in_force.input_name = comparisons.input_name
            AND (
                in_force.state_value = comparisons.text_value
                OR (comparisons.sign = '=' AND in_force.state_numeric_value = comparisons.number_value)
                OR (comparisons.sign = '<' AND in_force.state_numeric_value < comparisons.number_value)
                OR (comparisons.sign = '>' AND in_force.state_numeric_value > comparisons.number_value)
            )
),

evaluated AS (
    SELECT
        entity,
        at_ms,
        CASE
            WHEN 1 = 0 THEN 0 -- the formulas stand in this line's place, first to last
        END AS outcome
    FROM compared
    GROUP BY entity, at_ms
)

SELECT
    evaluated.entity,
    derived.entity_type,
    derived.state_name,
    evaluated.at_ms,
    CASE WHEN outcomes.state_value IS NULL THEN 0 ELSE 1 END AS has_value,
    outcomes.state_value
FROM evaluated
CROSS JOIN nexus_work_derived AS derived
LEFT JOIN nexus_work_outcomes AS outcomes ON evaluated.outcome = outcomes.outcome
