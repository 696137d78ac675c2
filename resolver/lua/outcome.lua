-- What the uniting of links (`merge`, `resolve`), restructuring (`gather` to `announce`) and operator events (`command`)
-- hand to the rest of the script. They are in blocks of their own, since a Lua function has room for 200 locals.
--
-- wiped   slot -> keys of the erased identifiers that it held: what remains of it is told anew
-- back    key -> why it is in the graph again (1 released, 2 unblocked, 3 rules, 4 erased)
-- repointed   keys and records, in turn, of nodes of which nothing but the slot has changed
-- new_slots   slot -> record of an entity that was resolved anew
-- The rest is for `write`: what is no longer there, and what is new.
local wiped, back, repointed, new_slots = {}, {}, {}, {}
local dropped_chunks, suspended_now, no_longer_suspended, new_pending = {}, {}, {}, {}
local gone_nodes, gone_links, gone_history, gone_synonyms, to_redact = {}, {}, {}, {}, {}
local command = {keys = {}, blocked = {}}
local load_small, introduce, resolve, rebuild, obey
