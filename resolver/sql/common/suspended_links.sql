-- One row for each link that unites nothing. In: nexus_work_suspended, as the judge found them.
INSERT INTO nexus_suspended_links (
    kind,
    identifier_keys,
    set_key,
    log_position,
    unique_type,
    apart
)
SELECT
    kind,
    identifier_keys,
    set_key,
    log_position,
    unique_type,
    apart
FROM nexus_work_suspended
