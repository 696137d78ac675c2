-- Sets right what the log says otherwise: links with their evidence and their facts, as they are to be. What follows from them
-- is computed anew in bounded calls: whom they name goes to `unsettled`.
--
-- A message:  'c', log position of the cause, which comes first
--             'l', 16 bytes link handle, 1 byte whether the link was there, 1 byte count, times: 1 byte how often the
--               identifier's node lists the link (in the order of its keys); then the link's message as in `batch`, or nothing: the log
--               does not know of the link
--             'f' and a message of facts (`profiles`) of one of these links
--             'u', 16 bytes identifier key: to be settled as well
-- Of a link that is not watched (any more) nothing is done; what was noted since it is watched is true besides what is said.
do
  local cause

  local function parse(message)
    local count = string.byte(message, 19)
    local one = {handle = string.sub(message, 2, 17), was_there = string.byte(message, 18) == 1, lists = {}}
    for i = 1, count do one.lists[i] = string.byte(message, 19 + i) end
    one.message = string.sub(message, 20 + count)
    return one
  end

  local function read_messages()
    local wanted, said, keys = {}, {}, {}
    for i = FIRST_MOVE, #ARGV do
      local what, rest = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
      if what == 'c' then cause = rest end
      if what == 'u' then keys[#keys + 1] = rest end
      if what == 'l' then wanted[#wanted + 1] = parse(ARGV[i]) end
      if what == 'f' then
        local handle = string.sub(rest, 1, 16)
        said[handle] = said[handle] or {}
        table.insert(said[handle], rest)
      end
    end
    return wanted, said, keys
  end

  -- What was noted since the links are watched; those that are not are left out.
  local function still_watched(wanted, said)
    local found, handles, fields = {}, {}, {}
    for i, one in ipairs(wanted) do handles[i], fields[i] = one.handle, 'f' .. one.handle end
    local heads, more, records = fetch(watched.KEY, handles), fetch(watched.KEY, fields), fetch(LINKS, handles)
    for i, one in ipairs(wanted) do
      if heads[i] then
        one.since, one.record, one.said = heads[i], records[i], said[one.handle] or {}
        for _, message in ipairs(watched.facts(more[i])) do one.said[#one.said + 1] = message end
        found[#found + 1] = one
      end
    end
    return found
  end

  local function remove(key, handle)
    local node = nodes[key]
    if not node then return end
    local function without(entries, from)
      local at = string.find(entries, handle, from, true)
      while at and (at - from) % 16 ~= 0 do at = string.find(entries, handle, at + 1, true) end
      return at and string.sub(entries, 1, at - 1) .. string.sub(entries, at + 16)
    end
    dirty_nodes[key] = true
    local rest = without(node.links, 1)
    if rest then
      node.links = rest
      return
    end
    local _, ids = listed('', node.older, true)
    for _, id in ipairs(ids) do
      rest = without(chunks[id] or redis.call('HGET', CHUNKS, id), 9)
      if rest then
        chunks[id] = rest
        return
      end
    end
  end

  local function forget(one)
    for _, key in ipairs(one.known and one.known.keys or {}) do
      remove(key, one.handle)
      new_unsettled[key] = cause
    end
    gone_links[#gone_links + 1] = one.handle
    profiles.said[one.handle], profiles.is_said[one.handle] = false, true
  end

  local function is_erased(link)
    for _, key in ipairs(link.keys) do
      if marked(key, 'e') then return true end
    end
    return false
  end

  local function set_facts(one, link)
    local set, old = facts.empty(table.concat(link.keys)), profiles.said[one.handle]
    for _, message in ipairs(one.said) do profiles.add_to(set, profiles.parse_message(message)) end
    for name in pairs(set.memberships) do
      if not (old and old.memberships[name]) then profiles.add_staff(name, one.handle) end
    end
    profiles.said[one.handle], profiles.is_said[one.handle] = set, true
  end

  -- Only what was noted since is true of it.
  local function renew(one, link)
    for _, key in ipairs(link.keys) do new_unsettled[key] = cause end
    changed_links[one.handle] = one.since .. (#link.keys > 1 and table.concat(link.keys) or '')
    set_facts(one, link)
  end

  local function set_right(one, link)
    local is_listed_since = one.record and not one.was_there
    for i, key in ipairs(link.keys) do
      local node = nodes[key] or introduce.node(link, i)
      if one.lists[i] == 0 and not is_listed_since then
        node.links, node.older = append(node.links, node.older, one.handle)
      end
      for _ = 2, one.lists[i] do remove(key, one.handle) end
      dirty_nodes[key], new_unsettled[key] = true, cause
    end
    changed_links[one.handle] = one.head .. (#link.keys > 1 and table.concat(link.keys) or '')
    set_facts(one, link)
  end

  function watched.amend()
    if job then error(BUSY, 0) end
    local wanted, said, keys = read_messages()
    local found, links, named, handles = still_watched(wanted, said), {}, {}, {}
    for i, one in ipairs(found) do
      handles[i] = one.handle
      if one.message ~= '' then
        one.link = parse_link({one.handle, one.message})
        one.head = watched.joined(one.since, watched.head_of(one.message))
        links[#links + 1] = one.link
      elseif one.record then
        one.known = parse_record(one.handle, one.record)
        for _, key in ipairs(one.known.keys) do named[#named + 1] = key end
      end
    end
    load_nodes(links)
    read_nodes(named)
    profiles.read_said(handles)
    for _, one in ipairs(found) do
      if one.link and not is_erased(one.link) then
        set_right(one, one.link)
      elseif one.known and one.since == '' then
        forget(one)
      elseif one.known then
        renew(one, one.known)
      end
    end
    for _, key in ipairs(keys) do new_unsettled[key] = cause end
    drop(PENDING, keys)
  end
end
