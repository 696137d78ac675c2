-- One row for each identifier that left the graph: by a limit, and then by which event, or by an operator.
INSERT INTO nexus_quarantine (
    entity_type,
    identifier_type,
    identifier_value,
    identifier_key,
    reason,
    partner_type,
    most,
    log_position,
    source,
    event_id
)
WITH evidence AS (
    SELECT age, MIN(link) AS link
    FROM nexus_work_links
    GROUP BY age
)

SELECT
    identifiers.entity_type,
    identifiers.identifier_type,
    identifiers.identifier_value,
    identifiers.identifier_key,
    CASE
        WHEN quarantined.node IS NULL THEN 'blocked'
        WHEN limits.partner_type IS NULL THEN 'degree'
        ELSE 'limit'
    END AS reason,
    limits.partner_type,
    limits.most,
    links.first_position AS log_position,
    links.source,
    links.event_id
FROM nexus_work_guarded AS guarded
INNER JOIN nexus_work_identifiers AS identifiers ON guarded.node = identifiers.node
LEFT JOIN nexus_work_quarantined AS quarantined ON guarded.node = quarantined.node
LEFT JOIN nexus_work_limits AS limits ON quarantined.limit_index = limits.limit_index
LEFT JOIN evidence ON quarantined.age = evidence.age
LEFT JOIN nexus_work_links AS links ON evidence.link = links.link
WHERE guarded.node NOT IN (SELECT node FROM nexus_work_fringe)
