-- One row for each identifier that was named since and is not known from before: it is new, or names nobody.
SELECT arrived.entity_type, arrived.identifier_type, arrived.identifier_value, arrived.identifier_key
FROM nexus_work_arrived AS arrived
WHERE
    arrived.identifier_key NOT IN (SELECT identifier_key FROM nexus_resolved_person_identifiers)
    AND arrived.identifier_key NOT IN (SELECT identifier_key FROM nexus_resolved_group_identifiers)
    AND arrived.identifier_key NOT IN (SELECT identifier_key FROM nexus_quarantine)
