-- One row for each instant at which an entity did what a timed state looks at: `active` for what happens
-- after silence; `since` and `until` for what starts a wait and what ends it. No event name or role: any.
CREATE OR REPLACE TABLE nexus_work_activity AS
SELECT DISTINCT
    participants.entity,
    participants.entity_type,
    watched.state_name,
    watched.side,
    participants.occurred_ms AS at_ms
FROM nexus_work_participants AS participants
INNER JOIN nexus_work_watched AS watched
    ON
        participants.entity_type = watched.entity_type
        AND (watched.event_name IS NULL OR participants.event_name = watched.event_name)
        AND (watched.role IS NULL OR participants.role = watched.role)
