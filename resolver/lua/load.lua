-- Reads what the new links name: their nodes, and the slots that lead to their entities.
--
-- nodes     identifier key -> node, or false for one that is not known yet
-- slots     slot number -> entity, or where it moved to
-- overridden   keys of nodes that do not say yet in which slot they are (`job` is visible)
-- unread    record of a node that nothing happened to, which is not in nodes, by the number that it has in number_of
-- link_of   link handle -> {handle, ms, position, first_ms, keys}, or false for one that is not there
-- was_senior  slot -> senior identifier of the entity before this call
local nodes, slots, link_of, overridden, unread, number_of, was_senior = {}, {}, {}, {}, {}, {}, {}

local function read_nodes(keys)
  local wanted, new, n = {}, {}, 0
  for _, key in ipairs(keys) do
    if nodes[key] == nil then
      nodes[key] = false
      n = n + 1
      wanted[n] = key
    end
  end
  local records = fetch(NODES, wanted)
  for i = 1, n do
    nodes[wanted[i]] = records[i] and parse_node(wanted[i], records[i])
    if not records[i] then new[#new + 1] = wanted[i] end
  end
  for i, slot in ipairs(job == 'visible' and fetch(MOVING, wanted) or {}) do
    if slot and nodes[wanted[i]] then nodes[wanted[i]].slot, overridden[wanted[i]] = tonumber(slot), true end
  end
  return new
end

local function name_of(key)
  local record = unread[number_of[key]]
  return record and string.sub(name_in(record), 3) or nodes[key].name
end

local function entity_type_of(key)
  local record = unread[number_of[key]]
  return record and entity_type_in(record) or nodes[key].entity_type
end

-- A slot that was lost: whoever was in it is in no entity, until reconciliation sets that right.
function watched.leave_lost()
  local function is_lost(slot)
    while slots[slot] and slots[slot].moved_to do slot = slots[slot].moved_to end
    return slot ~= 0 and not slots[slot]
  end
  for _, node in pairs(nodes) do
    if node and is_lost(node.slot) then node.slot = 0 end
  end
end

-- The slots of all nodes that were read, and of some more; or these `only`.
local function load_slots(more, only)
  local wanted, is_any_lost = {}, false
  local function want(slot)
    if slot ~= 0 and not slots[slot] then
      slots[slot] = true
      wanted[#wanted + 1] = slot
    end
  end
  for _, node in pairs(only and {} or nodes) do
    if node then want(node.slot) end
  end
  for _, slot in ipairs(more or {}) do want(slot) end
  while #wanted > 0 do
    local asked = wanted
    wanted = {}
    local records = fetch(SLOTS, asked)
    for i, slot in ipairs(asked) do
      slots[slot] = records[i] and parse_slot(records[i]) or nil
      local found = slots[slot]
      is_any_lost = is_any_lost or not found
      was_senior[slot] = found and found.senior
      if found and found.moved_to then want(found.moved_to) end
    end
  end
  if is_any_lost then watched.leave_lost() end
end

-- A restructuring may read so many members and links in one call. Above that it ends with LARGE, and nothing was changed.
local LARGE, BUSY, n_read = 'NEXUS large', 'NEXUS busy', 0

local function spend(n)
  n_read = n_read + n
  if n_read > most_read then error(LARGE, 0) end
end

local function parse_record(handle, record)
  local sub = string.sub
  local ms, length, first_ms = struct.unpack('>I6I2I6', record)
  local keys, n = {}, 0
  for at = 9 + length, #record, 16 do
    n = n + 1
    keys[n] = sub(record, at, at + 15)
  end
  if n == 0 then keys[1] = handle end
  return {handle = handle, ms = ms, first_ms = first_ms, position = sub(record, 9, 8 + length), keys = keys}
end

local function read_links(handles)
  local wanted = {}
  for _, handle in ipairs(handles) do
    if link_of[handle] == nil then
      link_of[handle] = false
      wanted[#wanted + 1] = handle
    end
  end
  spend(#wanted)
  local records = fetch(LINKS, wanted)
  for i, handle in ipairs(wanted) do link_of[handle] = records[i] and parse_record(handle, records[i]) end
end
