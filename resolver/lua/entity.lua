-- entity: the entity that holds an identifier, with its members.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta (HASH each)
-- ARGV   1 identifier key  2 most members wanted
-- Reply  false when no entity has it, or {slot record, identifier key, node record, ...}
-- Cost   linear in the members returned
local slot = places({ARGV[1]}, {redis.call('HGET', NODES, ARGV[1])})[1]
if not slot then return false end
local entity = parse_slot(entities[slot])
local keys = first_of(entity.members, entity.older, tonumber(ARGV[2]))
local reply, records = {entities[slot]}, fetch(NODES, keys)
for i = 1, #keys do
  reply[2 * i], reply[2 * i + 1] = keys[i], records[i]
end
return reply
