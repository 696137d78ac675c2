-- One row for each trait of a person: the value that counts, and who said it.
INSERT INTO nexus_resolved_person_traits (
    person_id,
    trait_name,
    trait_value,
    source,
    event_id,
    occurred_at
)
SELECT
    entities.entity_id AS person_id,
    traits.trait_name,
    traits.trait_value,
    traits.source,
    traits.event_id,
    traits.occurred_at
FROM nexus_work_traits AS traits
INNER JOIN nexus_work_entities AS entities ON traits.entity = entities.senior
WHERE traits.entity_type = 'person'
