-- entity: the entity that holds an identifier, with its members.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta (HASH each)
-- ARGV   1 identifier key  2 most members wanted
-- Reply  false when no entity has it, or {slot record, identifier key, node record, ...}
-- Cost   linear in the members returned
local NODES, SLOTS, CHUNKS, MOVING, META = unpack(KEYS)
local node = redis.call('HGET', NODES, ARGV[1])
if not node then return false end
local slot, record = struct.unpack('>I4', node), nil
if redis.call('HGET', META, 'job') == 'visible' then slot = tonumber(redis.call('HGET', MOVING, ARGV[1]) or slot) end
if slot == 0 then return false end
repeat
  record = redis.call('HGET', SLOTS, slot)
  local moved = string.byte(record) == 0
  if moved then slot = struct.unpack('>I4', record, 2) end
until not moved

local keys, limit = {}, tonumber(ARGV[2])
local function take(entries)
  for i = 1, #entries, 16 do
    if #keys == limit then return end
    keys[#keys + 1] = string.sub(entries, i, i + 15)
  end
end
local entity = parse_slot(record)
take(entity.members)
local waiting = {entity.older}
while #waiting > 0 and #keys < limit do
  local chunk_id = table.remove(waiting)
  if chunk_id ~= 0 then
    local chunk = redis.call('HGET', CHUNKS, chunk_id)
    take(string.sub(chunk, 9))
    local left, right = struct.unpack('>I4I4', chunk)
    waiting[#waiting + 1] = left
    waiting[#waiting + 1] = right
  end
end
local reply, records = {record}, fetch(NODES, keys)
for i = 1, #keys do
  reply[2 * i], reply[2 * i + 1] = keys[i], records[i]
end
return reply
