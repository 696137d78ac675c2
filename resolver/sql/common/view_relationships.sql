-- Memberships as relationships of a person (a) with a group (b).
CREATE OR REPLACE VIEW nexus_relationships AS
SELECT
    membership_id AS relationship_id,
    person_id AS entity_a_id,
    'person' AS entity_a_type,
    role AS entity_a_role,
    group_id AS entity_b_id,
    'group' AS entity_b_type,
    CAST(NULL AS STRING) AS entity_b_role,
    'membership' AS relationship_type,
    'a_to_b' AS relationship_direction,
    is_active,
    established_at,
    _last_updated AS last_updated_at,
    source AS primary_source,
    established_at AS _created_at,
    _last_updated AS _updated_at,
    _processed_at
FROM nexus_memberships
