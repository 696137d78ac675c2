-- One row for each trait of an entity: the last fact, of the source that comes first in the rules; none where
-- that says that there is none any more. Values compare as their canonical text.
CREATE OR REPLACE TABLE nexus_work_traits AS
WITH said AS (
    SELECT * FROM nexus_person_traits
    UNION ALL
    SELECT * FROM nexus_group_traits
),

ranked AS (
    SELECT
        homes.entity,
        homes.entity_type,
        said.trait_name,
        said.trait_value,
        said.source,
        said.event_id,
        said.occurred_at,
        ROW_NUMBER() OVER (
            PARTITION BY homes.entity, said.trait_name
            ORDER BY
                COALESCE(sources.priority, 1000000),
                said.occurred_at DESC,
                said.source DESC,
                said.event_id DESC,
                said.trait_value DESC
        ) AS place
    FROM said
    INNER JOIN nexus_work_cut AS cut ON said.topic = cut.topic AND said.log_partition = cut.log_partition
    INNER JOIN nexus_work_homes AS homes ON said.set_key = homes.set_key
    LEFT JOIN nexus_work_sources AS sources ON said.source = sources.source
    LEFT JOIN nexus_work_retracted AS retracted
        ON said.source = retracted.source AND said.event_id = retracted.event_id
    WHERE
        said.log_offset < cut.next_offset
        AND (cut.until_at IS NULL OR said.ingested_at <= cut.until_at)
        AND retracted.event_id IS NULL
)

SELECT entity, entity_type, trait_name, trait_value, source, event_id, occurred_at
FROM ranked
WHERE place = 1 AND trait_value <> 'null'
