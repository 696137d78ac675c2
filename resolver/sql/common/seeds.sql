-- One row for each identifier of which something may be otherwise than in the last answer: it was named since,
-- or is asked about (nexus_work_asked: operators said something else, or only the log can tell), or is tied to
-- one of these by what did not count before. Not those that name nobody (nexus_work_nobody), nor those out of
-- the graph that stay there: only evidence that is older than what took them out could say more about these.
CREATE OR REPLACE TABLE nexus_work_seeds AS
WITH placed AS (
    SELECT identifier_key, identifier_type, identifier_value FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, identifier_type, identifier_value FROM nexus_resolved_group_identifiers
),

come AS (
    SELECT identifier_key, identifier_type, identifier_value FROM nexus_work_arrived
    UNION ALL
    SELECT quarantine.identifier_key, quarantine.identifier_type, quarantine.identifier_value
    FROM nexus_quarantine AS quarantine
    INNER JOIN nexus_work_asked AS asked ON quarantine.identifier_key = asked.identifier_key
),

synonyms AS (
    SELECT placed.identifier_key
    FROM come
    INNER JOIN placed ON come.identifier_value = placed.identifier_value
    WHERE
        come.identifier_type IN ('previous_id', 'user_id', 'anonymous_id')
        AND placed.identifier_type IN ('previous_id', 'user_id', 'anonymous_id')
),

together AS (
    SELECT one_key AS identifier_key, other_key FROM nexus_work_together
    UNION ALL
    SELECT other_key AS identifier_key, one_key AS other_key FROM nexus_work_together
),

tied AS (
    SELECT identifier_key FROM nexus_work_named_with
    UNION ALL
    SELECT identifier_key FROM synonyms
    UNION ALL
    SELECT together.other_key AS identifier_key
    FROM come
    INNER JOIN together ON come.identifier_key = together.identifier_key
),

staying AS (
    SELECT quarantine.identifier_key
    FROM nexus_quarantine AS quarantine
    INNER JOIN nexus_work_arrived AS arrived ON quarantine.identifier_key = arrived.identifier_key
    WHERE quarantine.reason = 'blocked' OR arrived.first_position > quarantine.log_position
),

found AS (
    SELECT identifier_key FROM nexus_work_asked
    UNION ALL
    SELECT identifier_key
    FROM nexus_work_arrived
    WHERE
        identifier_key NOT IN (SELECT identifier_key FROM nexus_work_nobody)
        AND identifier_key NOT IN (SELECT identifier_key FROM staying)
    UNION ALL
    SELECT placed.identifier_key
    FROM placed
    INNER JOIN tied ON placed.identifier_key = tied.identifier_key
)

SELECT DISTINCT identifier_key FROM found
