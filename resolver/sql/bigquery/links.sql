-- One row for each set of identifiers that the log names as one participant: its first evidence and its last
-- instant. `age` is the rank of the log position: equal where that is.
CREATE OR REPLACE TABLE nexus_work_links AS
WITH sets AS (
    SELECT
        set_key,
        MIN(log_position) AS first_position,
        MAX(ingested_at) AS last_ingested_at,
        ANY_VALUE(source HAVING MIN log_position) AS source,
        ANY_VALUE(event_id HAVING MIN log_position) AS event_id,
        ANY_VALUE(occurred_at HAVING MIN log_position) AS occurred_at
    FROM nexus_work_named
    GROUP BY set_key
)

SELECT
    ROW_NUMBER() OVER (ORDER BY first_position, set_key) AS link,
    RANK() OVER (ORDER BY first_position) AS age,
    set_key,
    first_position,
    last_ingested_at,
    source,
    event_id,
    occurred_at
FROM sets
