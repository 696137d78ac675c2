-- What has to be resolved anew: the entities that something happened to, and all that are tied to them by links that were
-- suspended, with every link of their identifiers. Nothing outside can have a say in it.
--
-- Ten thousand identifiers in one call are common, so they are numbered as they are found, and so are their links; what is
-- known of either is in arrays by these numbers.
--
-- region     number -> identifier key; those that left or were erased are among them.  number_of: the other way round
-- old_of     number -> slot of the entity that it belonged to (0: none)
-- slot_of    number -> slot that its record names
-- links_at   link number -> record, or a link of this call.  link_ms: first instant.  handle_of: handle
-- ends       numbers of the identifiers of each link in a row, the keys of those outside of the region; the first of a link
--            is at first_end
-- old_slots  the slots of the entities, which have `keys` (of all members) and `chunk_ids` from now on
local region, old_of, slot_of, n_region = {}, {}, {}, 0
local links_at, link_ms, handle_of, first_end, ends, n_links_at = {}, {}, {}, {1}, {}, 0
local old_slots, gather, position_of = {}, nil, nil

do
  local taken, in_links, outside, n_done = {}, {}, {}, 0

  local function want(key)
    if number_of[key] then return end
    n_region = n_region + 1
    region[n_region], number_of[key], old_of[n_region] = key, n_region, 0
  end

  local function take_slot(slot, cause)
    if taken[slot] then return end
    local entity = slots[slot]
    if entity.job then error(LARGE, 0) end
    taken[slot] = true
    old_slots[#old_slots + 1] = slot
    dirty[slot] = dirty[slot] or cause
    entity.keys, entity.chunk_ids = listed(entity.members, entity.older)
    spend(#entity.keys)
    for _, key in ipairs(entity.keys) do
      want(key)
      old_of[number_of[key]] = slot
    end
  end

  local function reach(key, cause)
    if number_of[key] or not in_graph(nodes[key]) then return end
    if nodes[key].slot == 0 then
      set_free(key)
      want(key)
    else
      take_slot(home(nodes[key].slot), cause)
    end
  end

  -- Members that nothing happened to are read, and not taken apart: they are in the graph.
  local function read_region(from)
    local numbers, keys, n = {}, {}, 0
    for i = from, n_region do
      unread[i] = false
      if nodes[region[i]] == nil then
        n = n + 1
        numbers[n], keys[n] = i, region[i]
      end
    end
    if job == 'visible' then return read_nodes(keys) end
    local records = fetch(NODES, keys)
    for i = 1, n do unread[numbers[i]] = records[i] end
  end

  -- The handles of an identifier's links, where they begin, chunk of older ones; nil for one that ties nobody.
  local function links_of(i)
    local key = region[i]
    local node = nodes[key]
    slot_of[i] = node and node.slot or 0
    if in_graph(node) or (node and is_left[key] and has_suspended) then return node.links, 1, node.older end
  end

  -- The links of an identifier in the graph; of one that left only where a suspended one may have tied others to it.
  local function links_to_follow(from, to)
    local handles, n, sub = {}, 0, string.sub
    local function take(handle)
      if in_links[handle] then return end
      in_links[handle], n = true, n + 1
      handles[n] = handle
    end
    for i = from, to do
      local record, at, older, has_own = unread[i], nil, nil, false
      if record then slot_of[i], at, older, has_own = links_in(record) else record, at, older = links_of(i) end
      if has_own then take(region[i]) end
      for first = at or 1, record and #record or 0, 16 do
        local handle = sub(record, first, first + 15)
        if not in_links[handle] then
          in_links[handle], n = true, n + 1
          handles[n] = handle
        end
      end
      for _, handle in ipairs(record and older ~= 0 and listed('', older) or {}) do take(handle) end
    end
    return handles
  end

  local function add_link(handle, source, ms)
    n_links_at = n_links_at + 1
    links_at[n_links_at], link_ms[n_links_at], handle_of[n_links_at] = source, ms, handle
    first_end[n_links_at + 1] = first_end[n_links_at]
  end

  local function add_end(key, others)
    local at, number = first_end[n_links_at + 1], number_of[key]
    ends[at], first_end[n_links_at + 1] = number or key, at + 1
    if not number then others[#others + 1], outside[#outside + 1] = key, at end
  end

  -- The same of records, without a call for each end: most of a restructuring is here.
  local function add_records(handles, others)
    local sub, unpack_head, numbers = string.sub, struct.unpack, number_of
    local records, to = fetch(LINKS, handles), first_end[n_links_at + 1]
    for i = 1, #handles do
      local record = records[i]
      if record then
        local _, length, ms = unpack_head('>I6I2I6', record)
        add_link(handles[i], record, ms)
        if 9 + length > #record then record, length = handles[i], -8 end
        for at = 9 + length, #record, 16 do
          local key = sub(record, at, at + 15)
          local number = numbers[key]
          ends[to] = number or key
          if not number then others[#others + 1], outside[#outside + 1] = key, to end
          to = to + 1
        end
        first_end[n_links_at + 1] = to
      end
    end
  end

  local function follow(handles, others)
    local wanted, n = {}, 0
    for _, handle in ipairs(handles) do
      local link = link_of[handle]
      if link then
        add_link(handle, link, link.first_ms)
        for _, key in ipairs(link.keys) do add_end(key, others) end
      elseif link == nil then
        n = n + 1
        wanted[n] = handle
      end
    end
    spend(n)
    add_records(wanted, others)
  end

  local function follow_ties(from, to, others)
    if not (has_synonyms or has_marks or next(synonyms) or next(marks)) then return end
    local keys = {}
    for i = from, to do keys[#keys + 1] = region[i] end
    read_synonyms(keys)
    read_marks(keys)
    for _, key in ipairs(keys) do
      for _, other in ipairs(synonyms[key] or {}) do others[#others + 1] = other end
      for _, entry in ipairs(marks[key] or {}) do
        if entry.what == 't' then others[#others + 1] = entry.other end
      end
    end
  end

  local function step(cause)
    local from, to, others = n_done + 1, n_region, {}
    n_done = to
    read_region(from)
    follow(links_to_follow(from, to), others)
    follow_ties(from, to, others)
    read_nodes(others)
    load_slots()
    for _, key in ipairs(others) do reach(key, cause) end
  end

  gather = function(cause)
    for slot in pairs(dirty) do take_slot(slot, cause) end
    for _, key in ipairs(free) do want(key) end
    for _, one in ipairs(left) do want(one.key) end
    while n_done < n_region do step(cause) end
    for _, at in ipairs(outside) do ends[at] = number_of[ends[at]] or ends[at] end
    load_slots(slot_of)
  end

  local UNKNOWN = string.rep('\255', 6) .. 'unknown\0'
  position_of = function(link)
    local one = link and links_at[link]
    if not one then return UNKNOWN end -- its links were lost
    if type(one) == 'table' then return one.position end
    local _, length = struct.unpack('>I6I2', one)
    return string.sub(one, 9, 8 + length)
  end
end
