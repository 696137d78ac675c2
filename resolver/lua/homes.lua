-- homes: in which entities identifiers are; flagged or not. From a flag on, whatever comes to an entity is noted
-- for the restructuring.
--
-- KEYS   1 nodes 2 slots (HASH each)
-- ARGV   1 '1' to flag the entities, else '0', 2... identifier keys
-- Reply  {{slot of the entity of each, 0 for none}, {slot, record of each entity, in turn}, {each slot on the way}}
-- Cost   linear in the keys and in the slots on their way
local NODES, SLOTS = unpack(KEYS)
local keys, homes, of_key, entities, way = {}, {}, {}, {}, {}
local is_flagging = ARGV[1] == '1'
for i = 2, #ARGV do keys[i - 1] = ARGV[i] end

local function flagged(record)
  local flags = struct.unpack('>I2', record, 3)
  if math.floor(flags / FLAG) >= 8 then return record end
  return string.sub(record, 1, 2) .. struct.pack('>I2', flags + 8 * FLAG) .. string.sub(record, 5)
end

local function reach(slot, record)
  local marked = is_flagging and flagged(record) or record
  if marked ~= record then redis.call('HSET', SLOTS, slot, marked) end
  entities[#entities + 1], entities[#entities + 2] = slot, marked
end

local function home(slot)
  if homes[slot] then return homes[slot] end
  way[#way + 1] = slot
  local record = redis.call('HGET', SLOTS, slot)
  if not record then
    homes[slot] = 0 -- lost: who was in it is in no entity
  elseif string.byte(record) == 0 then
    homes[slot] = home((struct.unpack('>I4', record, 2)))
  else
    reach(slot, record)
    homes[slot] = slot
  end
  return homes[slot]
end

for i, record in ipairs(fetch(NODES, keys)) do
  local slot = record and struct.unpack('>I4', record) or 0
  of_key[i] = slot ~= 0 and home(slot) or 0
end
return {of_key, entities, way}
