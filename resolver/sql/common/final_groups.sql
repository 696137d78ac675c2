-- One row for each group. Columns for traits come where the comments say: the name of one, what finds it,
-- and it. In: nexus_group_participants, as published.
INSERT INTO nexus_groups (
    group_id,
    -- columns for traits: "email",
    traits,
    primary_source,
    first_interaction_at,
    last_interaction_at,
    _created_at,
    _updated_at,
    _last_merged_at,
    _processed_at
)
WITH spread AS (
    SELECT
        -- columns for traits: MAX(CASE WHEN column_name = 'email' THEN said END) AS "email",
        entity
    FROM nexus_work_texts
    GROUP BY entity
),

interactions AS (
    SELECT group_id, MIN(occurred_at) AS first_at, MAX(occurred_at) AS last_at
    FROM nexus_group_participants
    GROUP BY group_id
)

SELECT
    lives.entity_id AS group_id,
    -- columns for traits: spread."email",
    COALESCE(objects.traits, '{}') AS traits,
    lives.source AS primary_source,
    interactions.first_at AS first_interaction_at,
    interactions.last_at AS last_interaction_at,
    lives.created_at AS _created_at,
    lives.updated_at AS _updated_at,
    lives.merged_at AS _last_merged_at,
    made.made_at AS _processed_at
FROM nexus_work_lives AS lives
CROSS JOIN nexus_work_made AS made
LEFT JOIN nexus_work_objects AS objects ON lives.entity = objects.entity
LEFT JOIN spread ON lives.entity = spread.entity
LEFT JOIN interactions ON lives.entity_id = interactions.group_id
WHERE lives.entity_type = 'group'
