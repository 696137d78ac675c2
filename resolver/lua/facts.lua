-- What is said of links, and what that comes to for an entity: the same sets of facts, so that an entity's are those of its
-- links. A set grows by what is said and by another set, in any order and any number of times, to the same.
--
-- Instants are milliseconds since the year 1 (7 bytes), so that none is negative. An origin is the instant at which an event
-- happened, its source, NUL, its event id: its byte order is the order of facts. Values are canonical JSON.
--
-- Facts record: 1 byte count, times: 16 bytes identifier key of the link (of an entity: none); then
--   traits       2 bytes count, times: sized name, sized origin, 4 bytes length + value: the last of each name and source
--   states       2 bytes count, times: sized state, 4 bytes count, times: sized origin, sized value, in order
--   runs         2 bytes count, times: sized name, 4 bytes count, times: first and last instant, in order
--   memberships  2 bytes count, times: sized name, sized first origin, sized last origin, 1 byte whether that ended it
--   sized: 2 bytes length + text.  A run's name: `s` what starts or counts, `u` what is awaited, and the state.  A membership's
--   name: 1 byte count, times: 16 bytes identifier key of the group's link; then the role: '\0' none, '\1' + text
-- An entity's record goes on with 7 bytes instant at which a timer is set (0: none), and what consumers know of its
--   memberships: 4 bytes count, times: sized name (16 bytes key of the group's id, role), since when, '\0' or '\1' + until when.
local facts = {}

do
  local pack, unpack_at, sub = struct.pack, struct.unpack, string.sub
  local NO_ROLE = '\0'

  function facts.instant_of(origin)
    return (unpack_at('>I7', origin))
  end

  function facts.source_of(origin)
    return sub(origin, 8, string.find(origin, '\0', 8, true) - 1)
  end

  function facts.empty(keys)
    return {keys = keys or '', traits = {}, states = {}, runs = {}, memberships = {}, timer = 0, known = {}}
  end

  function facts.is_empty(set)
    return not (next(set.traits) or next(set.states) or next(set.runs) or next(set.memberships) or next(set.known))
  end

  function facts.parse(record)
    local at = 2 + 16 * string.byte(record)
    local set = facts.empty(sub(record, 2, at - 1))
    local function number(format, length)
      at = at + length
      return (unpack_at(format, record, at - length))
    end
    local function text(length)
      at = at + length
      return sub(record, at - length, at - 1)
    end
    local function sized()
      return text(number('>I2', 2))
    end
    for _ = 1, number('>I2', 2) do
      local name, origin, value = sized(), sized(), text(number('>I4', 4))
      set.traits[name] = set.traits[name] or {}
      set.traits[name][facts.source_of(origin)] = {origin = origin, value = value}
    end
    for _ = 1, number('>I2', 2) do
      local list = {}
      set.states[sized()] = list
      for i = 1, number('>I4', 4) do list[i] = {origin = sized(), value = sized()} end
    end
    for _ = 1, number('>I2', 2) do
      local list = {}
      set.runs[sized()] = list
      for i = 1, number('>I4', 4) do list[i] = {number('>I7', 7), number('>I7', 7)} end
    end
    for _ = 1, number('>I2', 2) do
      set.memberships[sized()] = {first = sized(), last = sized(), has_ended = text(1) == '\1'}
    end
    if at > #record then return set end
    set.timer = number('>I7', 7)
    for _ = 1, number('>I4', 4) do
      local name, since = sized(), number('>I7', 7)
      set.known[name] = {since = since, ended = text(1) == '\1' and number('>I7', 7) or nil}
    end
    return set
  end

  local function sized(text)
    return pack('>I2', #text) .. text
  end

  function facts.pack(set, is_entity)
    local parts, n = {string.char(#set.keys / 16) .. set.keys}, 1
    local function add(part)
      n = n + 1
      parts[n] = part
    end
    local function section(entries, format, write)
      local place, count = n + 1, 0
      add('')
      for name, entry in pairs(entries) do count = count + write(name, entry) end
      parts[place] = pack(format, count)
    end
    section(set.traits, '>I2', function(name, by_source)
      local count = 0
      for _, one in pairs(by_source) do
        add(sized(name) .. sized(one.origin) .. pack('>I4', #one.value) .. one.value)
        count = count + 1
      end
      return count
    end)
    section(set.states, '>I2', function(name, list)
      add(sized(name) .. pack('>I4', #list))
      for _, one in ipairs(list) do add(sized(one.origin) .. sized(one.value)) end
      return 1
    end)
    section(set.runs, '>I2', function(name, list)
      add(sized(name) .. pack('>I4', #list))
      for _, run in ipairs(list) do add(pack('>I7I7', run[1], run[2])) end
      return 1
    end)
    section(set.memberships, '>I2', function(name, one)
      add(sized(name) .. sized(one.first) .. sized(one.last) .. (one.has_ended and '\1' or '\0'))
      return 1
    end)
    if is_entity then
      add(pack('>I7', set.timer))
      section(set.known, '>I4', function(name, one)
        add(sized(name) .. pack('>I7', one.since) .. (one.ended and '\1' .. pack('>I7', one.ended) or '\0'))
        return 1
      end)
    end
    return table.concat(parts)
  end

  -- What a set learns. Each is true if it is new.
  function facts.add_trait(set, name, origin, value)
    local source = facts.source_of(origin)
    local by_source = set.traits[name] or {}
    local one = by_source[source]
    if one and (before(origin, one.origin) or (origin == one.origin and not before(one.value, value))) then return false end
    set.traits[name] = by_source
    by_source[source] = {origin = origin, value = value}
    return true
  end

  function facts.add_state(set, name, origin, value)
    local list = set.states[name] or {}
    local at = #list
    while at > 0 do
      local one = list[at]
      if one.origin == origin and one.value == value then return false end
      if before(one.origin, origin) or (one.origin == origin and before(one.value, value)) then break end
      at = at - 1
    end
    set.states[name] = list
    table.insert(list, at + 1, {origin = origin, value = value})
    return true
  end

  function facts.add_run(set, name, first, last, gap)
    local list = set.runs[name] or {}
    local from = #list + 1 -- runs from here to `to` are joined with this one
    while from > 1 and list[from - 1][2] + gap >= first do from = from - 1 end
    local to = from - 1
    while list[to + 1] and list[to + 1][1] <= last + gap do to = to + 1 end
    local joined = {first, last}
    if to >= from then joined = {math.min(first, list[from][1]), math.max(last, list[to][2])} end
    if to == from and joined[1] == list[from][1] and joined[2] == list[from][2] then return false end
    for _ = from, to do table.remove(list, from) end
    table.insert(list, from, joined)
    set.runs[name] = list
    return true
  end

  local function is_later(a, b)
    if a.last == b.last then return a.has_ended and not b.has_ended end
    return before(b.last, a.last)
  end

  function facts.add_membership(set, name, one)
    local known = set.memberships[name]
    if not known then
      set.memberships[name] = {first = one.first, last = one.last, has_ended = one.has_ended}
      return true
    end
    local is_earlier, is_more = before(one.first, known.first), is_later(one, known)
    if is_earlier then known.first = one.first end
    if is_more then known.last, known.has_ended = one.last, one.has_ended end
    return is_earlier or is_more
  end

  function facts.membership(group_keys, role)
    return string.char(#group_keys / 16) .. group_keys .. (role and '\1' .. role or NO_ROLE)
  end

  -- The keys of the group's link, and the role as it ends a membership's name.
  function facts.parse_membership(name)
    local at = 2 + 16 * string.byte(name)
    return sub(name, 2, at - 1), sub(name, at)
  end

  -- Two lists of states in order, as one.
  local function merged(one, other)
    local list, n, i, j = {}, 0, 1, 1
    while one[i] or other[j] do
      local a, b = one[i], other[j]
      n = n + 1
      if a and b and a.origin == b.origin and a.value == b.value then
        list[n], i, j = a, i + 1, j + 1
      elseif not b or (a and (before(a.origin, b.origin) or (a.origin == b.origin and before(a.value, b.value)))) then
        list[n], i = a, i + 1
      else
        list[n], j = b, j + 1
      end
    end
    return list
  end

  -- Adds all that another set holds; `gap_of` says after which gap a run ends.
  function facts.unite(set, other, gap_of)
    for name, by_source in pairs(other.traits) do
      for _, one in pairs(by_source) do facts.add_trait(set, name, one.origin, one.value) end
    end
    for name, list in pairs(other.states) do set.states[name] = merged(set.states[name] or {}, list) end
    for name, list in pairs(other.runs) do
      for _, run in ipairs(list) do facts.add_run(set, name, run[1], run[2], gap_of(name)) end
    end
    for name, one in pairs(other.memberships) do facts.add_membership(set, name, one) end
  end
end
