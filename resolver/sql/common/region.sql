-- One row for each entity of the last answer of which something may be otherwise now: it holds a seed, time has
-- come for one of its states, or a link that unites nothing ties it to such a one (nexus_work_tied_entities).
CREATE OR REPLACE TABLE nexus_work_region AS
WITH placed AS (
    SELECT identifier_key, person_id AS entity_id FROM nexus_resolved_person_identifiers
    UNION ALL
    SELECT identifier_key, group_id AS entity_id FROM nexus_resolved_group_identifiers
),

found AS (
    SELECT placed.entity_id
    FROM placed
    INNER JOIN nexus_work_seeds AS seeds ON placed.identifier_key = seeds.identifier_key
    UNION ALL
    SELECT due.entity_id
    FROM nexus_due_states AS due
    CROSS JOIN nexus_work_until AS clock
    WHERE due.due_ms <= clock.now_ms
    UNION ALL
    SELECT entity_id FROM nexus_work_tied_entities
)

SELECT DISTINCT entity_id FROM found
