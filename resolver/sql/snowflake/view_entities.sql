-- Persons and groups in one. Columns for traits come where the comments say: all that either has, in one order.
CREATE OR REPLACE VIEW nexus_entities COPY GRANTS AS
SELECT
    person_id AS entity_id,
    'person' AS entity_type,
    -- columns for traits of persons: "email",
    traits,
    primary_source,
    first_interaction_at,
    last_interaction_at,
    _created_at,
    _updated_at,
    _last_merged_at,
    _processed_at
FROM nexus_persons
UNION ALL
SELECT
    group_id AS entity_id,
    'group' AS entity_type,
    -- columns for traits of groups: "email",
    traits,
    primary_source,
    first_interaction_at,
    last_interaction_at,
    _created_at,
    _updated_at,
    _last_merged_at,
    _processed_at
FROM nexus_groups
