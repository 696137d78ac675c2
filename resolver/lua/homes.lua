-- homes: in which entities identifiers are.
--
-- KEYS   1 nodes 2 slots (HASH each)
-- ARGV   identifier keys
-- Reply  as that of `flag`: {{slot of the entity of each, 0 for none}, {slot, record of each entity, in turn},
--        {each slot on the way}}; nothing is flagged
-- Cost   linear in the keys and in the slots on their way
local NODES, SLOTS = unpack(KEYS)
local keys, homes, of_key, entities, way = {}, {}, {}, {}, {}
for i = 1, #ARGV do keys[i] = ARGV[i] end

local function home(slot)
  if homes[slot] then return homes[slot] end
  way[#way + 1] = slot
  local record = redis.call('HGET', SLOTS, slot)
  if string.byte(record) == 0 then
    homes[slot] = home((struct.unpack('>I4', record, 2)))
  else
    entities[#entities + 1], entities[#entities + 2] = slot, record
    homes[slot] = slot
  end
  return homes[slot]
end

for i, record in ipairs(fetch(NODES, keys)) do
  local slot = record and struct.unpack('>I4', record) or 0
  of_key[i] = slot ~= 0 and home(slot) or 0
end
return {of_key, entities, way}
