-- Operator events: they act on the whole log, whatever their position.
--
-- Packed: 1 byte what (as in marks, or e erase, x retract), 1 byte entity type, 2 bytes length + log position, 4 bytes count,
--   16 bytes for each identifier key; an erasure then has 4 bytes count, 16 bytes for each key that is blocked by it;
--   a retraction has a count of none there, and 16 bytes handle of the event.
local erased_now = {}

local function parse_command()
  command.what, command.entity_type = string.sub(operation, 1, 1), string.sub(operation, 2, 2)
  local length = struct.unpack('>I2', operation, 3)
  command.position = string.sub(operation, 5, 4 + length)
  local at = 5 + length
  local function keys(list)
    local count = struct.unpack('>I4', operation, at)
    at = at + 4
    for i = 1, count do list[i] = string.sub(operation, at + 16 * i - 16, at + 16 * i - 1) end
    at = at + 16 * count
  end
  keys(command.keys)
  if at < #operation then keys(command.blocked) end
  command.event = string.sub(operation, at)
end

-- What waits in the outbox may name what is erased: it is to be redacted.
local function redact(key)
  if pending > 0 then to_redact[#to_redact + 1] = key end
end

local function forget_count(key)
  local node = nodes[key]
  node.quarantined, node.partners, quarantine[key] = false, nil, nil
  dirty_nodes[key], dirty_quarantine[key] = true, true
end

local function block(key)
  local node = nodes[key]
  if not mark(key, 'b', command.position) or not node then return end
  if in_graph(node) then leave(key, command) end
  forget_count(key)
  node.blocked = true
end

local function come_back(key, why)
  if is_left[key] or nodes[key].slot ~= 0 then return end
  set_free(key)
  back[key] = why
end

local function unblock(key)
  local node = nodes[key]
  if not mark(key, 'u', command.position) or not node or not node.blocked then return end
  node.blocked, dirty_nodes[key] = false, true
  if recount(key) then
    left[#left + 1] = {key = key, slot = 0, cause = command, reason = first_reason(key)}
    is_left[key] = true
  else
    come_back(key, 2)
  end
end

local function release(key)
  local node = nodes[key]
  if not mark(key, 'r', command.position) or not node then return end
  local was_out = node.quarantined
  node.released = true
  if not node.blocked then forget_count(key) end
  if was_out then come_back(key, 1) end
  dirty_nodes[key] = true
end

local function pair(what)
  local a, b = command.keys[1], command.keys[2]
  local is_new = mark(a, what, command.position, b)
  if not is_new then return end
  mark(b, what, command.position, a)
  touch(a, command)
  touch(b, command)
  no_longer_suspended[1] = what == 'a' and 't' .. (before(a, b) and a .. b or b .. a) or nil
end

-- The links of the erased identifiers, which go with them, and whom else they named.
local function drop_links(keys, gone)
  local touched, seen, ms = {}, {}, struct.unpack('>I6', command.position)
  for _, key in ipairs(keys) do
    local handles, ids = listed(nodes[key].links, nodes[key].older)
    for _, id in ipairs(ids) do dropped_chunks[#dropped_chunks + 1] = id end
    read_links(handles)
    for _, handle in ipairs(handles) do
      local link = link_of[handle]
      for _, other in ipairs(link and link.keys or {}) do
        if link.ms >= ms then new_pending[other] = 'e' .. command.position end
        if not gone[other] and not seen[other] then
          seen[other] = true
          touched[#touched + 1] = other
        end
      end
      if link then gone_links[#gone_links + 1] = handle end
      link_of[handle] = false
    end
  end
  return touched
end

local function forget(key)
  local node = nodes[key]
  local slot = node.slot ~= 0 and home(node.slot)
  if slot then
    wiped[slot], dirty[slot] = wiped[slot] or {}, dirty[slot] or command
    table.insert(wiped[slot], key)
  elseif erased_now[key] then
    tell.erased(command, key, {key})
  end
  nodes[key], quarantine[key], dirty_quarantine[key] = false, nil, true
  dirty_nodes[key] = nil
  gone_nodes[#gone_nodes + 1], gone_history[#gone_history + 1] = key, key
  if erased_now[key] then gone_synonyms[#gone_synonyms + 1] = key end -- any other may come back, and have them again
  for _, other in ipairs(synonyms[key] or {}) do
    no_longer_suspended[#no_longer_suspended + 1] = 's' .. (before(key, other) and key .. other or other .. key)
  end
end

-- An identifier that a dropped link named: it lists the others, and goes as well if nothing else names it.
local function prune(key)
  local node = nodes[key]
  local alive = {}
  for at = 1, #node.links, 16 do
    local handle = string.sub(node.links, at, at + 15)
    if link_of[handle] ~= false then alive[#alive + 1] = handle end
  end
  node.links, dirty_nodes[key] = table.concat(alive), true
  local handles, ids = listed(node.links, node.older)
  read_links(handles)
  local is_named = false
  for _, handle in ipairs(handles) do is_named = is_named or link_of[handle] ~= false end
  if is_named then return end
  for _, id in ipairs(ids) do dropped_chunks[#dropped_chunks + 1] = id end
  forget(key)
end

-- One that others name still is counted anew.
local function survive(key)
  local node = nodes[key]
  if not node or node.blocked then return end
  local was_out = node.quarantined
  touch(key, command)
  local is_out = recount(key)
  if was_out and not is_out then come_back(key, 4) end
end

local function erase()
  local gone, keys = {}, {}
  for _, key in ipairs(command.keys) do
    for _, entry in ipairs(marks[key] or {}) do
      if entry.what == 't' then
        local other = entry.other
        no_longer_suspended[#no_longer_suspended + 1] = 't' .. (before(key, other) and key .. other or other .. key)
      end
    end
    if mark(key, 'e', command.position) then
      marks[key], erased_now[key], profiles.erased[key] = {marked(key, 'e')}, true, true
      redact(key)
      if nodes[key] then
        gone[key] = true
        keys[#keys + 1] = key
      end
    end
  end
  local touched = drop_links(keys, gone)
  read_nodes(touched)
  read_synonyms(keys)
  read_quarantine(touched)
  load_slots()
  for _, key in ipairs(keys) do forget(key) end
  for _, key in ipairs(touched) do prune(key) end
  for _, key in ipairs(command.blocked) do block(key) end
  for _, key in ipairs(touched) do survive(key) end
end

-- What may not be done in this call is said of the identifiers, and settled later.
local function say_only()
  local keys, what = command.keys, command.what
  for i, key in ipairs(keys) do
    if mark(key, what, command.position, #keys == 2 and ABOUT[what] == 'pair' and keys[3 - i] or nil) then
      new_unsettled[key] = command.position
      if what == 'e' then
        marks[key] = {marked(key, 'e')}
        redact(key)
      end
    end
  end
  for _, key in ipairs(command.blocked) do
    if mark(key, 'b', command.position) then new_unsettled[key] = command.position end
  end
end

-- From here on no batch brings anything of the event. What rests on it only the log can tell.
local function retract()
  read_nodes(command.keys)
  for _, key in ipairs(command.keys) do
    if nodes[key] then new_pending[key] = 'x' .. command.position end
  end
end

obey = function()
  parse_command()
  if command.what == 'x' then return retract() end
  if job == 'beside' and not is_later then error(LARGE, 0) end
  local named = {}
  for _, key in ipairs(command.keys) do named[#named + 1] = key end
  for _, key in ipairs(command.blocked) do named[#named + 1] = key end
  read_nodes(named)
  read_marks(named)
  read_quarantine(named)
  load_slots()
  local refusal = command.what ~= 'e' and refuse_erased(command.keys, {})
  if refusal then return refusal end
  if is_later then return say_only() end
  if command.what == 'e' then return erase() end
  if command.what == 'b' then block(command.keys[1]) end
  if command.what == 'u' then unblock(command.keys[1]) end
  if command.what == 'r' then release(command.keys[1]) end
  if command.what == 't' or command.what == 'a' then pair(command.what) end
end
