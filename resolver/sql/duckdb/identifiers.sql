-- One row for each identifier that the log names, with a number in the order of the keys: from here on numbers
-- stand for identifiers, since they are quick to join by, and of two the smaller has the smaller key.
-- `own_id` is the id that it lends to an entity whose oldest it is.
-- A key of 16 bytes is compared and sorted as a UUID: one number, in the same order, which is quicker.
CREATE OR REPLACE TABLE nexus_work_identifiers AS
WITH distinct_identifiers AS (
    SELECT DISTINCT entity_type, identifier_type, identifier_value, CAST(identifier_key AS UUID) AS number
    FROM nexus_work_named
)

SELECT
    ROW_NUMBER() OVER (ORDER BY number) AS node,
    entity_type,
    identifier_type,
    identifier_value,
    CAST(number AS BLOB) AS identifier_key,
    CASE entity_type WHEN 'person' THEN 'per_' ELSE 'grp_' END || LOWER(HEX(CAST(number AS BLOB))) AS own_id
FROM distinct_identifiers
