-- One row for each entity of the answer that is compared with the stream's. `has_persons`: of a group, whether
-- the stream's answer was asked for all of its persons.
CREATE OR REPLACE TABLE nexus_work_compared AS
SELECT DISTINCT person_id AS entity_id, FALSE AS has_persons FROM nexus_resolved_person_identifiers
UNION ALL
SELECT DISTINCT group_id AS entity_id, FALSE AS has_persons FROM nexus_resolved_group_identifiers
