-- Into nexus_work_facts: what producers sent, as far as the rules take it. A state that they do not declare
-- takes any value.
INSERT INTO nexus_work_facts (
    entity, entity_type, state_name, state_value, state_numeric_value, occurred_ms, source, event_id
)
SELECT DISTINCT
    homes.entity,
    homes.entity_type,
    sent.state_name,
    sent.state_value,
    sent.state_numeric_value,
    UNIX_MILLIS(sent.occurred_at) AS occurred_ms,
    sent.source,
    sent.event_id
FROM nexus_state_facts AS sent
INNER JOIN nexus_work_cut AS cut ON sent.topic = cut.topic AND sent.log_partition = cut.log_partition
INNER JOIN nexus_work_homes AS homes ON sent.set_key = homes.set_key
LEFT JOIN nexus_work_declared AS declared ON sent.state_name = declared.state_name
LEFT JOIN nexus_work_declared_values AS takes
    ON sent.state_name = takes.state_name AND sent.state_value = takes.state_value
LEFT JOIN nexus_work_retracted AS retracted
    ON sent.source = retracted.source AND sent.event_id = retracted.event_id
WHERE
    sent.log_offset < cut.next_offset
    AND retracted.event_id IS NULL
    AND (cut.until_at IS NULL OR sent.ingested_at <= cut.until_at)
    AND (
        declared.state_name IS NULL
        OR (
            declared.takes_facts
            AND declared.entity_type = sent.entity_type
            AND CASE
                WHEN declared.is_numeric THEN sent.state_numeric_value IS NOT NULL
                ELSE takes.state_name IS NOT NULL
            END
        )
    )
