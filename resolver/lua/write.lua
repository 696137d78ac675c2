-- Writes, last of all. XADD comes first: it is the only write that Redis can still refuse.
local function partners_section(partners)
  local sections, n = {}, 0
  for kind, list in pairs(partners) do
    n = n + 1
    sections[n] = string.char(#kind) .. kind .. struct.pack('>I2', #list / 16) .. list
  end
  return n > 0 and string.char(n) .. table.concat(sections)
end

local function node_record(node, key)
  local partners = node.partners and partners_section(node.partners)
  local flags = (partners and 1 or 0) + (node.released and 2 or 0) + (node.quarantined and 4 or 0) + (node.blocked and 8 or 0)
    + (node.entity_type == 'g' and 16 or 0)
  local links, at = node.links, string.find(node.links, key, 1, true) or 0
  local has_own = at % 16 == 1
  if has_own then links = string.sub(links, 1, at - 1) .. string.sub(links, at + 16) end
  return struct.pack('>I4I2', node.slot, flags * FLAG + #node.name) .. node.name .. (partners or '')
    .. (has_own and '\1' or '') .. (node.older ~= 0 and struct.pack('>I4', node.older) or '') .. links
end

if is_dry then return {'preview', table.concat(made)} end

-- What is written of the keys that something happened to: records, and the fields that are gone.
local function split(dirty_ones, values, record)
  local records, gone = {}, {}
  for key in pairs(dirty_ones) do
    if values[key] then records[key] = record(values[key], key) else gone[#gone + 1] = key end
  end
  return records, gone
end

local node_records = split(dirty_nodes, nodes, node_record)
local slot_records, freed = split(dirty_slots, slots, slot_record)
for slot, record in pairs(new_slots) do slot_records[slot] = record end
local quarantine_records, cleared = split(dirty_quarantine, quarantine, quarantine_record)
local mark_records = split(dirty_marks, marks, marks_record)
local histories = history_records()
profiles.prepare()
local moved_nodes = {}
for key in pairs(overridden) do
  if node_records[key] or nodes[key] == false then moved_nodes[#moved_nodes + 1] = key end
end
for _, handle in ipairs(gone_links) do changed_links[handle] = nil end
for _, key in ipairs(gone_history) do histories[key] = nil end
for i = #dropped_chunks, 1, -1 do
  if chunks[dropped_chunks[i]] then chunks[dropped_chunks[i]] = nil end
end

if n_made > 0 then
  local now = redis.call('TIME')
  redis.call('XADD', OUTBOX, generation .. '-' .. string.format('%.0f', number + 1),
    'count', n_made, 'ms', string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)),
    'made', table.concat(made))
  redis.call('HSET', META, 'number', string.format('%.0f', number + n_made), 'pending', pending + n_made)
end
if last_slot ~= tonumber(meta[3]) or last_chunk ~= tonumber(meta[4]) then
  redis.call('HSET', META, 'slot', last_slot, 'chunk', last_chunk)
end
save(CHUNKS, chunks)
save(SYNONYMS, new_synonyms)
save(NODES, node_records)
save_pairs(NODES, repointed)
save(SLOTS, slot_records)
save(LINKS, changed_links)
save(HISTORY, histories)
save(QUARANTINE, quarantine_records)
save(MARKS, mark_records)
drop(SUSPENDED, no_longer_suspended)
save(SUSPENDED, suspended_now)
if job == 'visible' then -- what the new answer said of these is no longer so
  for field in pairs(suspended_now) do redis.call('SADD', TOUCHED, 's' .. field) end
  for _, list in ipairs({no_longer_suspended, gone_links}) do
    for _, field in ipairs(list) do redis.call('SADD', TOUCHED, 's' .. field) end
  end
end
save(PENDING, new_pending)
if command.what == 'x' then redis.call('SADD', KEYS[26], command.event) end
save(UNSETTLED, new_unsettled)
if watched.is_on then watched.note() end
local noted = #new_touched > 0 and redis.call('SCARD', TOUCHED)
for i = 1, #new_touched do new_touched[i] = new_touched[i] .. struct.pack('>I4', noted + i) end
for first = 1, #new_touched, STEP do
  redis.call('SADD', TOUCHED, unpack(new_touched, first, math.min(first + STEP - 1, #new_touched)))
end
profiles.write()
recent.write()
drop(MOVING, moved_nodes)
for _, key in ipairs(to_redact) do redis.call('SADD', REDACT, key) end
drop(CHUNKS, dropped_chunks)
drop(SLOTS, freed)
drop(NODES, gone_nodes)
drop(LINKS, gone_links)
drop(SUSPENDED, gone_links)
drop(HISTORY, gone_history)
drop(SYNONYMS, gone_synonyms)
drop(QUARANTINE, cleared)
local moved = {}
for i = 1, moves do moved[ARGV[FIRST_MOVE + 3 * i - 3]] = ARGV[FIRST_MOVE + 3 * i - 1] end
save(OFFSETS, moved)
if is_tick then return {'ticked', n_made, n_gone_off, is_more and '1' or ''} end
return {'applied', n_made}
