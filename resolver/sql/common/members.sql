-- One row for each identifier of a link, without those whose value names nobody (nexus_work_nameless). Links
-- that are equal without them stay apart here: that they are said twice changes nothing.
CREATE OR REPLACE TABLE nexus_work_members AS
SELECT DISTINCT links.link, links.age, identifiers.node, identifiers.identifier_type
FROM nexus_work_named AS named
INNER JOIN nexus_work_links AS links
    ON named.set_key = links.set_key AND named.log_position = links.first_position
INNER JOIN nexus_work_identifiers AS identifiers ON named.identifier_key = identifiers.identifier_key
WHERE identifiers.node NOT IN (SELECT node FROM nexus_work_nameless)
