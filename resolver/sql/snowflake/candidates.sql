-- One row for each identifier whose value may name nobody: a superset, of which Python picks those that the
-- rules block. `nexus_work_words`: values on lists; `nexus_work_patterns`: types whose values meet patterns.
SELECT node, entity_type, identifier_type, identifier_value
FROM nexus_work_identifiers
WHERE
    LOWER(identifier_value) IN (SELECT word FROM nexus_work_words)
    OR identifier_type IN (SELECT identifier_type FROM nexus_work_patterns)
    OR (identifier_value LIKE '%@example.%' AND identifier_type = 'email')
    OR REGEXP_LIKE(identifier_value, '[+][0-9]+|([A-Za-z]+_)*[0-]+')
    OR REGEXP_LIKE(identifier_value, '.*[^ -~].*')
