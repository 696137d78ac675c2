-- The entities of some identifiers, by the log or by the stream.
-- In: nexus_work_wanted, the keys of these identifiers; nexus_stream_identifiers.
SELECT entities.entity_id
FROM nexus_work_entities AS entities
INNER JOIN nexus_work_identifiers AS identifiers ON entities.node = identifiers.node
INNER JOIN nexus_work_wanted AS wanted ON identifiers.identifier_key = wanted.identifier_key
UNION DISTINCT
SELECT stream.entity_id
FROM nexus_stream_identifiers AS stream
INNER JOIN nexus_work_wanted AS wanted ON stream.identifier_key = wanted.identifier_key
