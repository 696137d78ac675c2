-- What the resolution looks at where it looks at a part: all links, whole, of the identifiers inside of it.
CREATE OR REPLACE TABLE nexus_work_named_inside AS
WITH sets AS (
    SELECT DISTINCT named.set_key
    FROM nexus_work_all_named AS named
    INNER JOIN nexus_work_inside AS inside ON named.identifier_key = inside.identifier_key
)

SELECT named.*
FROM nexus_work_all_named AS named
INNER JOIN sets ON named.set_key = sets.set_key
