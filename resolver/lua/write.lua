-- Writes, last of all. XADD comes first: it is the only write that Redis can still refuse.
local function node_record(node)
  return struct.pack('>I4I4I2', node.slot, node.older, #node.name) .. node.name .. node.links
end

local function slot_record(slot)
  if slot.moved_to then return '\0' .. struct.pack('>I4', slot.moved_to) end
  return '\1' .. slot.entity_type .. struct.pack('>I4I4', slot.size, slot.older) .. slot.senior
    .. struct.pack('>I2', #slot.position) .. slot.position .. slot.members
end

local node_records, slot_records, histories = {}, {}, history_records()
for key in pairs(dirty_nodes) do node_records[key] = node_record(nodes[key]) end
local freed = {}
for slot in pairs(dirty_slots) do
  if slots[slot] then slot_records[slot] = slot_record(slots[slot]) else freed[#freed + 1] = slot end
end

if n_made > 0 then
  local now = redis.call('TIME')
  redis.call('XADD', OUTBOX, generation .. '-' .. string.format('%.0f', number + 1),
    'count', n_made, 'ms', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)),
    'made', table.concat(made))
  redis.call('HSET', META, 'number', string.format('%.0f', number + n_made), 'slot', last_slot, 'chunk', last_chunk,
    'pending', pending + n_made)
elseif next(chunks) then
  redis.call('HSET', META, 'chunk', last_chunk)
end
save(CHUNKS, chunks)
save(SYNONYMS, new_synonyms)
save(NODES, node_records)
save(SLOTS, slot_records)
drop(SLOTS, freed)
save(LINKS, changed_links)
save(HISTORY, histories)
local moved = {}
for i = 1, moves do moved[ARGV[3 * i]] = ARGV[3 * i + 2] end
save(OFFSETS, moved)
return {'applied', n_made}
