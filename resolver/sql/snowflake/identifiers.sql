-- One row for each identifier that the log names, with a number in the order of the keys: from here on numbers
-- stand for identifiers, since they are quick to join by, and of two the smaller has the smaller key.
-- `own_id` is the id that it lends to an entity whose oldest it is.
CREATE OR REPLACE TABLE nexus_work_identifiers AS
WITH distinct_identifiers AS (
    SELECT DISTINCT entity_type, identifier_type, identifier_value, identifier_key
    FROM nexus_work_named
)

SELECT
    ROW_NUMBER() OVER (ORDER BY identifier_key) AS node,
    entity_type,
    identifier_type,
    identifier_value,
    identifier_key,
    CASE entity_type WHEN 'person' THEN 'per_' ELSE 'grp_' END || LOWER(HEX_ENCODE(identifier_key)) AS own_id
FROM distinct_identifiers
