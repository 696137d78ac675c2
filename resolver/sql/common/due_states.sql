-- One row for each entity of which a timed state may change if nothing more happens.
INSERT INTO nexus_due_states (entity_id, due_ms)
SELECT entities.entity_id, due.due_ms
FROM nexus_work_due AS due
INNER JOIN nexus_work_entities AS entities ON due.entity = entities.senior
