-- Profiles: the facts of links summed up for each entity, carried through merges and splits, and what is told of them. First
-- what the call did to identity, then its facts, one after the other in log order.
--
-- SAID       link handle -> facts record of the link
-- PROFILES   slot -> facts record of the entity: all that is said of the links whose anchor it holds
-- STAFF      identifier key of a group -> 4 bytes chunk, 16 bytes handle of each link of persons that some membership in a
--              group of that name hangs on
-- TIMERS     slots by the instant at which a timed state may change, or earlier
--
-- A message of facts: 16 bytes link handle, 1 byte entity type, 1 byte count, times: 16 bytes identifier key;
--   7 bytes instant at which it happened, sized log position, then
--   4 bytes count, times: sized trait, 4 bytes length + value
--   4 bytes count, times: sized state, sized value
--   4 bytes count, times: sized name of a run
--   4 bytes count, times: sized name of a membership, 1 byte whether it ends it
-- or 16 bytes link handle, '=', 1 byte count, times: 16 bytes identifier key; 16 bytes handle of a link whose facts are also
--   those of this one
--
-- said, sums, staff   what was read of SAID, PROFILES and STAFF: false where there is none.  is_said, ...: what is to be written
-- timers              slot -> instant, or false: its timer is gone
profiles.said, profiles.sums, profiles.staff, profiles.timers = {}, {}, {}, {}
profiles.is_said, profiles.is_summed, profiles.is_staffed = {}, {}, {}
profiles.unsummed, profiles.is_unsummed = {}, {} -- slot -> {ref, token, cause} (`sum_up`)

facts.TIMELINES = profiles.TIMELINES

do
  local bare = {} -- key -> slot of a node that was read for it only

  function profiles.gap_of(name)
    local one = rules_of.states.p[string.sub(name, 2)] or rules_of.states.g[string.sub(name, 2)]
    return one and one.gap or 0
  end

  function profiles.each_key(keys, take)
    for at = 1, #keys, 16 do take(string.sub(keys, at, at + 15)) end
  end

  local chunks_of = {said = {}, sums = {}} -- field -> chunks of its record as it was read

  local function parsed(record, kind, field)
    local set = record and facts.parse(record)
    if set then chunks_of[kind][field] = facts.chunks(set) end
    return set
  end

  function profiles.read_said(handles)
    local wanted = {}
    for _, handle in ipairs(handles) do
      if profiles.said[handle] == nil then
        profiles.said[handle] = false
        wanted[#wanted + 1] = handle
      end
    end
    local records = fetch(profiles.SAID, wanted)
    for i, handle in ipairs(wanted) do profiles.said[handle] = parsed(records[i], 'said', handle) end
  end

  function profiles.read_sums(of)
    local wanted = {}
    for _, slot in ipairs(of) do
      if profiles.sums[slot] == nil then
        profiles.sums[slot] = false
        wanted[#wanted + 1] = slot
      end
    end
    local records = fetch(profiles.PROFILES, wanted)
    for i, slot in ipairs(wanted) do profiles.sums[slot] = parsed(records[i], 'sums', slot) end
    records = profiles.has_unsummed and fetch(profiles.UNSUMMED, wanted) or {}
    for i, record in ipairs(records) do
      local ref, token = struct.unpack('>I4I4', record or '\0\0\0\0\0\0\0\0')
      profiles.unsummed[wanted[i]] = record and {ref = ref, token = token, cause = string.sub(record, 9)}
    end
  end

  function profiles.read_staff(keys)
    local wanted = {}
    for _, key in ipairs(keys) do
      if profiles.staff[key] == nil then
        profiles.staff[key] = false
        wanted[#wanted + 1] = key
      end
    end
    local records = fetch(profiles.STAFF, wanted)
    for i, key in ipairs(wanted) do
      local record = records[i] or '\0\0\0\0'
      profiles.staff[key] = {older = struct.unpack('>I4', record), handles = string.sub(record, 5)}
    end
  end

  -- Reads where identifiers are, so that `home_of` can tell.
  function profiles.read_homes(lists)
    local wanted, found = {}, {}
    for _, keys in ipairs(lists) do
      profiles.each_key(keys, function(key)
        local node = nodes[key]
        if profiles.home_at[number_of[key]] or bare[key] then
          return
        elseif node == nil then
          bare[key] = 0
          wanted[#wanted + 1] = key
        elseif node and node.slot ~= 0 and not slots[node.slot] then
          found[#found + 1] = node.slot
        end
      end)
    end
    local records = fetch(NODES, wanted)
    local moving = job == 'visible' and fetch(MOVING, wanted) or {}
    for i, key in ipairs(wanted) do
      bare[key] = tonumber(moving[i] or nil) or (records[i] and struct.unpack('>I4', records[i])) or 0
      found[#found + 1] = bare[key]
    end
    load_slots(found, true)
  end

  function profiles.slot_of(key)
    local placed = profiles.home_at[number_of[key]]
    if placed then return placed end
    local slot = bare[key]
    if nodes[key] ~= nil then slot = nodes[key] and nodes[key].slot end
    slot = slot and slot ~= 0 and home(slot)
    return slot and slots[slot] and slot or nil
  end

  -- Reads what is said of links, and where their identifiers are; the keys of each link that something is said of.
  function profiles.read_links_of(handles)
    local lists = {}
    profiles.read_said(handles)
    for _, handle in ipairs(handles) do
      if profiles.said[handle] then lists[#lists + 1] = profiles.said[handle].keys end
    end
    profiles.read_homes(lists)
    return lists
  end

  local function priority_of(key)
    local name
    if number_of[key] or nodes[key] then name = name_of(key) else name = string.sub(name_in(redis.call('HGET', NODES, key)), 3) end
    return rules_of.priorities[type_of(name)] or math.huge
  end

  -- The slot of the anchor: of the identifiers in the graph the one of highest priority (ties: the smaller key), which only
  -- matters where they are of several entities; nil where there is none.
  function profiles.home_of(keys)
    local found, is_several = nil, false
    profiles.each_key(keys, function(key)
      local slot = profiles.slot_of(key)
      is_several = is_several or (slot and found and slot ~= found)
      found = found or slot
    end)
    if not is_several then return found end
    local anchor, best
    profiles.each_key(keys, function(key)
      local priority = profiles.slot_of(key) and priority_of(key)
      if priority and (not anchor or priority < best or (priority == best and before(key, anchor))) then
        anchor, best = key, priority
      end
    end)
    return profiles.slot_of(anchor)
  end

  function profiles.entity(slot)
    return profiles.placed[slot] or slots[slot]
  end

  local function write(key, dirty, records)
    local found, gone = {}, {}
    for field in pairs(dirty) do
      local record = records(field)
      if record then found[field] = record else gone[#gone + 1] = field end
    end
    save(key, found)
    drop(key, gone)
  end

  local function packed(sets, is_entity)
    return function(field)
      local set = sets[field]
      return set and not facts.is_empty(set) and facts.pack(set, is_entity)
    end
  end

  local new_lines, gone_lines = {}, {}

  local function put(chunk)
    last_chunk = last_chunk + 1
    new_lines[last_chunk] = chunk
    return last_chunk
  end

  -- Long lists are put into chunks; chunks that no list has any more are dropped.
  function profiles.prepare()
    local used = {}
    local function shorten(kind, dirty, is_entity)
      for field in pairs(dirty) do
        local set = profiles[kind][field]
        if set and facts.is_long(set) then
          if is_entity and not facts.has_older(set) then
            local entity_type = profiles.entity(field).entity_type
            local known = set.lines and set.lines.known or timelines.of(set, entity_type, profiles.now)
            timelines.note_current(set, entity_type, known)
          end
          facts.shorten(set, put)
        end
        for _, list in pairs(set and set.states or {}) do
          for _, chunk in ipairs(list.older or {}) do used[chunk] = true end
        end
      end
    end
    local function drop_unused(kind, dirty)
      for field in pairs(dirty) do
        for _, chunk in ipairs(chunks_of[kind][field] or {}) do
          if not used[chunk] then gone_lines[#gone_lines + 1] = chunk end
        end
      end
    end
    shorten('said', profiles.is_said, false)
    shorten('sums', profiles.is_summed, true)
    drop_unused('said', profiles.is_said)
    drop_unused('sums', profiles.is_summed)
  end

  function profiles.write()
    save(profiles.TIMELINES, new_lines)
    drop(profiles.TIMELINES, gone_lines)
    write(profiles.SAID, profiles.is_said, packed(profiles.said, false))
    write(profiles.PROFILES, profiles.is_summed, packed(profiles.sums, true))
    write(profiles.STAFF, profiles.is_staffed, function(key)
      return struct.pack('>I4', profiles.staff[key].older) .. profiles.staff[key].handles
    end)
    for _, key in ipairs(gone_nodes) do redis.call('HDEL', profiles.STAFF, key) end
    for slot, instant in pairs(profiles.timers) do
      if instant then
        redis.call('ZADD', profiles.TIMERS, string.format('%.0f', instant - profiles.EPOCH), slot)
      else
        redis.call('ZREM', profiles.TIMERS, slot)
      end
    end
    write(profiles.UNSUMMED, profiles.is_unsummed, function(slot)
      local one = profiles.unsummed[slot]
      return one and struct.pack('>I4I4', one.ref, one.token) .. one.cause
    end)
    profiles.keep_steps()
    if is_tick then redis.call('HSET', META, 'now', string.format('%.0f', profiles.now - profiles.EPOCH)) end
  end
end
