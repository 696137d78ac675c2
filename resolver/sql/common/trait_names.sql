-- The traits that entities have, and on how many: each may have a column.
SELECT entity_type, trait_name, COUNT(*) AS entities
FROM nexus_work_traits
GROUP BY entity_type, trait_name
