-- page: some of the identifiers in the graph, each with the id of its entity, all as of one number.
--
-- KEYS   1 nodes 2 slots 3 meta 4 moving (HASH each)
-- ARGV   1 cursor of HSCAN  2 about how many
-- Reply  {next cursor, generation, number, identifier key, node record, entity type and senior key (17 bytes), ...}
-- Cost   linear in the page
local NODES, SLOTS, META, MOVING = unpack(KEYS)
local page = redis.call('HSCAN', NODES, ARGV[1], 'COUNT', ARGV[2])
local found = page[2]
local slots, wanted, of_node = {}, {}, {}
local function want(slot)
  if slots[slot] == nil then
    slots[slot] = false
    wanted[#wanted + 1] = slot
  end
end
local keys, moved = {}, {}
for i = 1, #found, 2 do keys[#keys + 1] = found[i] end
if redis.call('HGET', META, 'job') == 'visible' then moved = fetch(MOVING, keys) end
for i = 2, #found, 2 do
  of_node[i] = tonumber(moved[i / 2] or struct.unpack('>I4', found[i]))
  if of_node[i] ~= 0 then want(of_node[i]) end
end
while #wanted > 0 do
  local asked = wanted
  wanted = {}
  local records = fetch(SLOTS, asked)
  for i, slot in ipairs(asked) do
    slots[slot] = records[i]
    if string.byte(records[i]) == 0 then want((struct.unpack('>I4', records[i], 2))) end
  end
end
local meta = redis.call('HMGET', META, 'generation', 'number')
local reply = {page[1], meta[1], meta[2]}
for i = 2, #found, 2 do
  local record, n = slots[of_node[i]], #reply
  while record and string.byte(record) == 0 do record = slots[(struct.unpack('>I4', record, 2))] end
  if record then
    reply[n + 1], reply[n + 2] = found[i - 1], found[i]
    local entity = parse_slot(record)
    reply[n + 3] = entity.entity_type .. entity.senior
  end
end
return reply
