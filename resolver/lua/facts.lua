-- What is said of links, and what that comes to for an entity: the same sets of facts, so that an entity's are those of its
-- links. A set grows by what is said and by another set, in any order and any number of times, to the same.
--
-- Instants are milliseconds since the year 1 (7 bytes), so that none is negative. An origin is the instant at which an event
-- happened, its source, NUL, its event id: its byte order is the order of facts. Values are canonical JSON.
--
-- Facts record: 1 byte count, times: 16 bytes identifier key of the link (of an entity: none); then
--   traits       4 bytes count, times: sized name, sized origin, 4 bytes length + value: the last of each name and source
--   states       4 bytes count, times: sized state, what is older, 4 bytes count, times: sized origin, sized value, in order
--     older      4 bytes count, times: 4 bytes chunk; if there are any, of the last one: sized origin, sized value, 7 bytes
--                since when that was the value
--   runs         4 bytes count, times: sized name, 4 bytes count, times: first and last instant, in order
--   memberships  4 bytes count, times: sized name, sized first origin, sized last origin, 1 byte whether that ended it
--   sized: 2 bytes length + text.  A run's name: `s` what starts or counts, `u` what is awaited, and the state.  A membership's
--   name: 1 byte count, times: 16 bytes identifier key of the group's link; then the role: '\0' none, '\1' + text
-- An entity's record goes on with 7 bytes instant at which a timer is set (0: none), and what consumers know of its
--   memberships: 4 bytes count, times: sized name (16 bytes key of the group's id, role), since when, '\0' or '\1' + until when;
--   then 4 bytes count, times: sized name of a derived state that is current, since when; kept where something is older.
--
-- TIMELINES  chunk number -> facts of one state as in `states`: what is older than the last few dozen, which most facts and
--            most questions do not reach
local facts = {KEEP = 32, CHUNK = 256, TIMELINES = nil}

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
    return {keys = keys or '', traits = {}, states = {}, runs = {}, memberships = {}, timer = 0, known = {}, current = {},
      loaded = {}}
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
    for _ = 1, number('>I4', 4) do
      local name, origin, value = sized(), sized(), text(number('>I4', 4))
      set.traits[name] = set.traits[name] or {}
      set.traits[name][facts.source_of(origin)] = {origin = origin, value = value}
    end
    for _ = 1, number('>I4', 4) do
      local list = {}
      set.states[sized()] = list
      for i = 1, number('>I4', 4) do
        list.older = list.older or {}
        list.older[i] = number('>I4', 4)
        set.loaded[#set.loaded + 1] = list.older[i]
      end
      if list.older then list.last, list.value, list.entered = sized(), sized(), number('>I7', 7) end
      for i = 1, number('>I4', 4) do list[i] = {origin = sized(), value = sized()} end
    end
    for _ = 1, number('>I4', 4) do
      local list = {}
      set.runs[sized()] = list
      for i = 1, number('>I4', 4) do list[i] = {number('>I7', 7), number('>I7', 7)} end
    end
    for _ = 1, number('>I4', 4) do
      set.memberships[sized()] = {first = sized(), last = sized(), has_ended = text(1) == '\1'}
    end
    if at > #record then return set end
    set.timer = number('>I7', 7)
    for _ = 1, number('>I4', 4) do
      local name, since = sized(), number('>I7', 7)
      set.known[name] = {since = since, ended = text(1) == '\1' and number('>I7', 7) or nil}
    end
    for _ = 1, number('>I4', 4) do set.current[sized()] = number('>I7', 7) end
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
    section(set.traits, '>I4', function(name, by_source)
      local count = 0
      for _, one in pairs(by_source) do
        add(sized(name) .. sized(one.origin) .. pack('>I4', #one.value) .. one.value)
        count = count + 1
      end
      return count
    end)
    section(set.states, '>I4', function(name, list)
      local older = list.older or {}
      add(sized(name) .. pack('>I4', #older))
      for _, chunk in ipairs(older) do add(pack('>I4', chunk)) end
      if list.older then add(sized(list.last) .. sized(list.value) .. pack('>I7', list.entered)) end
      add(pack('>I4', #list))
      for _, one in ipairs(list) do add(sized(one.origin) .. sized(one.value)) end
      return 1
    end)
    section(set.runs, '>I4', function(name, list)
      add(sized(name) .. pack('>I4', #list))
      for _, run in ipairs(list) do add(pack('>I7I7', run[1], run[2])) end
      return 1
    end)
    section(set.memberships, '>I4', function(name, one)
      add(sized(name) .. sized(one.first) .. sized(one.last) .. (one.has_ended and '\1' or '\0'))
      return 1
    end)
    if is_entity then
      add(pack('>I7', set.timer))
      section(set.known, '>I4', function(name, one)
        add(sized(name) .. pack('>I7', one.since) .. (one.ended and '\1' .. pack('>I7', one.ended) or '\0'))
        return 1
      end)
      section(facts.has_older(set) and set.current or {}, '>I4', function(name, entered)
        add(sized(name) .. pack('>I7', entered))
        return 1
      end)
    end
    return table.concat(parts)
  end

  -- Long lists of states.
  function facts.has_older(set)
    for _, list in pairs(set.states) do
      if list.older then return true end
    end
    return false
  end

  -- A list with all that is older. The list itself stays as it is.
  function facts.whole(list)
    if not list.older then return list end
    local found, n = {}, 0
    for _, record in ipairs(fetch(facts.TIMELINES, list.older)) do
      local at = 1
      while at <= #record do
        local length = unpack_at('>I2', record, at)
        local origin = sub(record, at + 2, at + 1 + length)
        at = at + 2 + length
        length = unpack_at('>I2', record, at)
        n = n + 1
        found[n] = {origin = origin, value = sub(record, at + 2, at + 1 + length)}
        at = at + 2 + length
      end
    end
    for i, one in ipairs(list) do found[n + i] = one end
    return found
  end

  function facts.expand(set)
    for name, list in pairs(set.states) do set.states[name] = facts.whole(list) end
  end

  -- The same record with all that is older in it, for readers.
  function facts.whole_record(record, is_entity)
    local set = facts.parse(record)
    if not facts.has_older(set) then return record end
    facts.expand(set)
    return facts.pack(set, is_entity)
  end

  local function is_long(list)
    return #list > 2 * facts.KEEP
  end

  function facts.is_long(set)
    for _, list in pairs(set.states) do
      if is_long(list) then return true end
    end
    return false
  end

  -- What was so as of the end of the first facts of a list, and since when.
  local function value_after(list, count)
    local value, entered = list.value, list.entered
    for i = 1, count do
      local one = list[i]
      local instant = facts.instant_of(one.origin)
      local is_last = i == count or facts.instant_of(list[i + 1].origin) ~= instant
      if is_last and one.value ~= value then value, entered = one.value, instant end
    end
    return value, entered
  end

  local function shortened(list, put)
    local count = #list - facts.KEEP
    while count > 0 and facts.instant_of(list[count].origin) == facts.instant_of(list[count + 1].origin) do count = count - 1 end
    if count == 0 then return list end
    local found = {older = list.older or {}, last = list[count].origin}
    found.value, found.entered = value_after(list, count)
    for first = 1, count, facts.CHUNK do
      local parts = {}
      for i = first, math.min(first + facts.CHUNK - 1, count) do parts[#parts + 1] = sized(list[i].origin) .. sized(list[i].value) end
      found.older[#found.older + 1] = put(table.concat(parts))
    end
    for i = count + 1, #list do found[i - count] = list[i] end
    return found
  end

  -- Puts what is older than the last few into chunks; `put` keeps one and says its number.
  function facts.shorten(set, put)
    for name, list in pairs(set.states) do
      if is_long(list) then set.states[name] = shortened(list, put) end
    end
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
    if list.older and facts.instant_of(origin) <= facts.instant_of(list.last) then list = facts.whole(list) end
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
    one, other = facts.whole(one), facts.whole(other)
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
