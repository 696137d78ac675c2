-- One row for each identifier with more partners than a limit allows, whatever is out of the graph, unless an
-- operator released or blocked it: the limit that was crossed first, and when (`age`).
-- Partners are counted before it is looked when they came: few identifiers cross a limit.
CREATE OR REPLACE TABLE nexus_work_quarantined AS
WITH limited AS (
    SELECT members.link, members.age, members.node, limits.limit_index, limits.partner_type, limits.most
    FROM nexus_work_members AS members
    INNER JOIN nexus_work_limits AS limits ON members.identifier_type = limits.identifier_type
),

pairs AS (
    SELECT limited.node, limited.limit_index, limited.most, partners.node AS partner, MIN(limited.age) AS age
    FROM limited
    INNER JOIN nexus_work_members AS partners ON limited.link = partners.link
    WHERE
        limited.node <> partners.node
        AND (limited.partner_type IS NULL OR limited.partner_type = partners.identifier_type)
    GROUP BY limited.node, limited.limit_index, limited.most, partners.node
),

crowded AS (
    SELECT node, limit_index
    FROM pairs
    GROUP BY node, limit_index, most
    HAVING COUNT(*) > most
),

partners_by_age AS (
    SELECT
        pairs.node,
        pairs.limit_index,
        pairs.most,
        pairs.age,
        ROW_NUMBER() OVER (PARTITION BY pairs.node, pairs.limit_index ORDER BY pairs.age) AS place
    FROM pairs
    INNER JOIN crowded ON pairs.node = crowded.node AND pairs.limit_index = crowded.limit_index
),

excesses AS (
    SELECT
        node,
        limit_index,
        age,
        ROW_NUMBER() OVER (PARTITION BY node ORDER BY age, limit_index) AS place
    FROM partners_by_age
    WHERE place = most + 1
)

SELECT node, limit_index, age
FROM excesses
WHERE
    place = 1
    AND node NOT IN (
        SELECT identifiers.node
        FROM nexus_work_identifiers AS identifiers
        INNER JOIN nexus_work_exempt AS exempt ON identifiers.identifier_key = exempt.identifier_key
    )
