-- One row for each component that may not be one entity: it holds two values of a unique type, or both of a
-- pair that an operator put apart. Which of its links are suspended is judged one after the other, in Python.
CREATE OR REPLACE TABLE nexus_work_conflicts AS
WITH known AS (
    SELECT components.component, identifiers.identifier_type, identifiers.identifier_key
    FROM nexus_work_components AS components
    INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
),

found AS (
    SELECT known.component
    FROM known
    INNER JOIN nexus_work_unique AS uniques ON known.identifier_type = uniques.identifier_type
    GROUP BY known.component, known.identifier_type
    HAVING COUNT(*) > 1
    UNION ALL
    SELECT ones.component
    FROM nexus_work_apart AS apart
    INNER JOIN known AS ones ON apart.one_key = ones.identifier_key
    INNER JOIN known AS others ON apart.other_key = others.identifier_key
    WHERE ones.component = others.component
)

SELECT DISTINCT component FROM found
