-- One row for each identifier of persons that is in the graph, with the oldest evidence of it.
INSERT INTO nexus_resolved_person_identifiers (
    person_id,
    identifier_type,
    identifier_value,
    identifier_key,
    source,
    event_id,
    occurred_at,
    log_position
)
SELECT
    entities.entity_id AS person_id,
    identifiers.identifier_type,
    identifiers.identifier_value,
    identifiers.identifier_key,
    links.source,
    links.event_id,
    links.occurred_at,
    links.first_position AS log_position
FROM nexus_work_entities AS entities
INNER JOIN nexus_work_components AS components ON entities.component = components.component
INNER JOIN nexus_work_identifiers AS identifiers ON components.node = identifiers.node
INNER JOIN nexus_work_nodes AS nodes ON components.node = nodes.node
INNER JOIN nexus_work_links AS links ON nodes.link = links.link
WHERE entities.entity_type = 'person'
