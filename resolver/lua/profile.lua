-- profile: the entity that holds an identifier, with what is known of it, all as of one number.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta 6 profiles 7 unsummed 8 said 9 staff 10 timelines (HASH each)
-- ARGV   1 identifier key  2 most members wanted, of a group also most links of persons that are looked at
-- Reply  false when no entity has it, or {
--          {generation, number, now}, steps, slot record, profile record or '',
--          {identifier key, node record, ... of each member},
--          {person's senior key, role as in `facts`, since when, until when or 0, ... of each membership of a group},
--          1 if these are all that there are, else 0}
-- Cost   linear in what is returned, and in what is known of the persons of a group
facts.TIMELINES = KEYS[10]
local most = tonumber(ARGV[2])
local slot = places({ARGV[1]}, {redis.call('HGET', NODES, ARGV[1])})[1]
if not slot then return false end
local entity = parse_slot(entities[slot])
local keys, is_all = first_of(entity.members, entity.older, most)

local belonging, is_whole = {}, true
if entity.entity_type == 'g' then belonging, is_whole = members_of_group(entity.senior, keys, most) end
local members, records = {}, fetch(NODES, keys)
for i = 1, #keys do
  members[2 * i - 1], members[2 * i] = keys[i], records[i]
end
local known = profiles_of({slot})[1]
return {redis.call('HMGET', META, 'generation', 'number', 'now'), steps, entities[slot],
  known and facts.whole_record(known, true) or '', members, belonging, is_all and is_whole and 1 or 0}
