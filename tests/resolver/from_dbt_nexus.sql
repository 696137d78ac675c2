-- What dbt-nexus's pages show its users, with a table's own name where they write ref(): by the tables of before
-- its entities, then by those of since. Each query has its name above it; tests/resolver/test_from_dbt_nexus.py
-- says what it gives.

-- a few columns of persons
SELECT
    person_id,
    email,
    name
FROM nexus_persons
WHERE name IS NOT NULL;

-- a person by its e-mail
SELECT name
FROM nexus_persons
WHERE email = 'ada@acme.test';

-- how many there are
SELECT
    (SELECT COUNT(*) FROM nexus_persons) AS person_count,
    (SELECT COUNT(*) FROM nexus_groups) AS group_count,
    (SELECT COUNT(*) FROM nexus_events) AS event_count;

-- whether resolution worked
SELECT
    COUNT(DISTINCT person_id) AS unique_persons,
    COUNT(*) AS total_identifiers
FROM nexus_resolved_person_identifiers;

-- identifiers of a person
WITH person_summary AS (
    SELECT
        person_id,
        COUNT(*) AS identifier_count,
        COUNT(DISTINCT identifier_type) AS identifier_types
    FROM nexus_resolved_person_identifiers
    GROUP BY person_id
)
SELECT
    MAX(identifier_count) AS most,
    MAX(identifier_types) AS types,
    COUNT(*) AS persons
FROM person_summary;

-- events by source
SELECT
    source,
    COUNT(*) AS event_count
FROM nexus_events
GROUP BY source;

-- from when to when
SELECT COUNT(*) AS total
FROM nexus_events
WHERE occurred_at > (SELECT MIN(occurred_at) FROM nexus_events);

-- members of groups
SELECT
    p.name AS person_name,
    g.company_name,
    m.role
FROM nexus_memberships AS m
JOIN nexus_persons AS p ON m.person_id = p.person_id
JOIN nexus_groups AS g ON m.group_id = g.group_id;

-- e-mails that several persons have
SELECT
    email,
    COUNT(*) AS many
FROM nexus_persons
GROUP BY email
HAVING COUNT(*) > 1;

-- identifiers without a value
SELECT COUNT(*)
FROM nexus_person_identifiers
WHERE identifier_value IS NULL;

-- events that are there twice
SELECT
    event_id,
    COUNT(*) AS many
FROM nexus_events
GROUP BY event_id
HAVING COUNT(*) > 1;

-- the current billing status
SELECT
    entity_id,
    state_value AS billing_status
FROM nexus_states
WHERE state_name = 'billing_lifecycle' AND is_current = TRUE;

-- a person among entities
SELECT name
FROM nexus_entities
WHERE entity_type = 'person' AND email = 'ada@acme.test';

-- related entities
SELECT
    ea.name AS person_name,
    eb.company_name
FROM nexus_relationships AS r
JOIN nexus_entities AS ea ON r.entity_a_id = ea.entity_id
JOIN nexus_entities AS eb ON r.entity_b_id = eb.entity_id
WHERE r.relationship_type = 'membership' AND ea.entity_type = 'person' AND eb.entity_type = 'group';

-- e-mails that several entities have
SELECT
    email,
    COUNT(DISTINCT entity_id) AS unique_entity_ids,
    COUNT(*) AS total_records
FROM nexus_entities
WHERE NOT email IS NULL AND email != '' AND entity_type = 'person'
GROUP BY email
HAVING COUNT(DISTINCT entity_id) > 1
ORDER BY unique_entity_ids DESC
LIMIT 10;

-- e-mails that resolve to several persons
SELECT
    identifier_value AS email,
    COUNT(DISTINCT person_id) AS unique_person_ids
FROM nexus_resolved_person_identifiers
WHERE identifier_type = 'email'
GROUP BY identifier_value
HAVING COUNT(DISTINCT person_id) > 1;

-- resolved identifiers by type
SELECT
    identifier_type,
    COUNT(DISTINCT identifier_value) AS distinct_values,
    COUNT(DISTINCT person_id) AS unique_persons
FROM nexus_resolved_person_identifiers
GROUP BY identifier_type;

-- edges by type
SELECT
    identifier_type_a,
    identifier_type_b,
    COUNT(*) AS edge_count
FROM nexus_group_identifiers_edges
GROUP BY identifier_type_a,
    identifier_type_b;

-- an entity's events
SELECT e.event_name
FROM nexus_entity_participants AS ep
JOIN nexus_events AS e ON ep.event_id = e.event_id
JOIN nexus_entities AS n ON ep.entity_id = n.entity_id
WHERE n.email = 'ada@acme.test';
