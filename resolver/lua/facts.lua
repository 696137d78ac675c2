-- What is said of links, and what that comes to for an entity: the same sets of facts, so that an entity's are those of its
-- links. A set grows by what is said and by another set, in any order and any number of times, to the same.
--
-- Instants are milliseconds since the year 1 (7 bytes), so that none is negative. An origin is the instant at which an event
-- happened, its source, NUL, its event id: its byte order is the order of facts. Values are canonical JSON.
--
-- Facts record: 1 byte count, times: 16 bytes identifier key of the link (of an entity: none); then
--   traits       section: sized name, sized origin, 4 bytes length + value: the last of each name and source
--   states       4 bytes count, times: sized state, what is older, 4 bytes count; if there are any 4 bytes length, 4 bytes where
--                the last begins, times: sized origin, sized value, in order
--     older      4 bytes count, times: 4 bytes chunk; if there are any, of the last one: sized origin, sized value, 7 bytes
--                since when that was the value
--   runs         section: sized name, 4 bytes count, times: first and last instant, in order
--   memberships  section: sized name, sized first origin, sized last origin, 1 byte whether that ended it
--   section: 4 bytes length of what follows, 4 bytes count, times
--   sized: 2 bytes length + text.  A run's name: `s` what starts or counts, `u` what is awaited, and the state.  A membership's
--   name: 1 byte count, times: 16 bytes identifier key of the group's link; then the role: '\0' none, '\1' + text
-- An entity's record goes on with 7 bytes instant at which a timer is set (0: none), and two more sections: of what consumers
--   know of its memberships sized name (16 bytes key of the group's id, role), since when, '\0' or '\1' + until when; and
--   sized name of a derived state that is current, since when, kept where something is older.
--
-- Most messages add a fact at the end of a state and move the end of a run. So what a record holds stays as it was read until
-- somebody looks: a section until its field of the set is asked for; a list, which is `packed`, until it is opened.
--   list of states   array of {origin, value}, in order; or packed = {count, length, offset of the last, pieces = array of
--                      strings, origin, value: of the last}; with what is older: older, last, value, entered
--   list of runs     array of {first, last}, in order; or raw: those before the last as in the record, and tail = {first, last}
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
    return {keys = keys or '', traits = {}, states = {}, runs = {}, memberships = {}, timer = 0, known = {}, current = {}}
  end

  local NONE = '\0\0\0\0' -- a section without entries

  local function has(set, field)
    local entries = rawget(set, field)
    if entries then return next(entries) ~= nil end
    return set.raw[field] ~= nil and set.raw[field] ~= NONE
  end

  function facts.is_empty(set)
    return not (next(set.states) or has(set, 'traits') or has(set, 'runs') or has(set, 'memberships') or has(set, 'known'))
  end

  -- Reads a record from one place on: number(format, length), text(length), sized().
  local function reader(record, at)
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
    local function is_at_end()
      return at > #record
    end
    return number, text, sized, is_at_end
  end

  local RUN = 14
  local sections = {}

  function sections.traits(number, text, sized)
    local name, origin, value = sized(), sized(), text(number('>I4', 4))
    return name, {[facts.source_of(origin)] = {origin = origin, value = value}}
  end

  function sections.runs(number, text, sized)
    local name, count = sized(), number('>I4', 4)
    return name, {raw = text(RUN * (count - 1)), tail = {number('>I7', 7), number('>I7', 7)}}
  end

  function sections.memberships(_, text, sized)
    return sized(), {first = sized(), last = sized(), has_ended = text(1) == '\1'}
  end

  function sections.known(number, text, sized)
    return sized(), {since = number('>I7', 7), ended = text(1) == '\1' and number('>I7', 7) or nil}
  end

  function sections.current(number, _, sized)
    return sized(), number('>I7', 7)
  end

  local function parse_section(field, raw)
    local found = {}
    if raw == nil or raw == NONE then return found end
    local number, text, sized = reader(raw, 1)
    for _ = 1, number('>I4', 4) do
      local name, entry = sections[field](number, text, sized)
      if field == 'traits' and found[name] then
        local source, one = next(entry)
        found[name][source] = one
      else
        found[name] = entry
      end
    end
    return found
  end

  local lazy = {__index = function(set, field)
    if not sections[field] then return nil end
    local found = parse_section(field, set.raw[field])
    set[field] = found
    return found
  end}

  local function parse_list(number, text, sized)
    local list = {}
    for i = 1, number('>I4', 4) do
      list.older = list.older or {}
      list.older[i] = number('>I4', 4)
    end
    if list.older then list.last, list.value, list.entered = sized(), sized(), number('>I7', 7) end
    local count = number('>I4', 4)
    if count == 0 then return list end
    local length, offset = number('>I4', 4), number('>I4', 4)
    local entries = text(length)
    local origin_length = unpack_at('>I2', entries, offset + 1)
    list.packed = {count = count, length = length, offset = offset, pieces = {entries},
      origin = sub(entries, offset + 3, offset + 2 + origin_length), value = sub(entries, offset + 5 + origin_length)}
    return list
  end

  function facts.parse(record)
    local keys_end = 1 + 16 * string.byte(record)
    local number, text, sized, is_at_end = reader(record, keys_end + 1)
    local function section()
      return text(number('>I4', 4))
    end
    local set = {keys = sub(record, 2, keys_end), states = {}, timer = 0, raw = {traits = section()}}
    for _ = 1, number('>I4', 4) do
      local name = sized()
      set.states[name] = parse_list(number, text, sized)
    end
    set.raw.runs, set.raw.memberships = section(), section()
    if not is_at_end() then set.timer, set.raw.known, set.raw.current = number('>I7', 7), section(), section() end
    return setmetatable(set, lazy)
  end

  -- The chunks that a set names.
  function facts.chunks(set)
    local found = {}
    for _, list in pairs(set.states) do
      for _, chunk in ipairs(list.older or {}) do found[#found + 1] = chunk end
    end
    return found
  end

  local function sized(text)
    return pack('>I2', #text) .. text
  end

  local function add_list(name, list, add)
    add(sized(name) .. pack('>I4', #(list.older or {})))
    for _, chunk in ipairs(list.older or {}) do add(pack('>I4', chunk)) end
    if list.older then add(sized(list.last) .. sized(list.value) .. pack('>I7', list.entered)) end
    local packed = list.packed
    if packed then
      add(pack('>I4I4I4', packed.count, packed.length, packed.offset))
      for _, piece in ipairs(packed.pieces) do add(piece) end
      return
    end
    local pieces, length, offset = {}, 0, 0
    for i, one in ipairs(list) do
      pieces[i], offset = sized(one.origin) .. sized(one.value), length
      length = length + #pieces[i]
    end
    add(#pieces == 0 and NONE or pack('>I4I4I4', #pieces, length, offset))
    for _, piece in ipairs(pieces) do add(piece) end
  end

  local writers = {}

  function writers.traits(name, by_source)
    local parts = {}
    for _, one in pairs(by_source) do
      parts[#parts + 1] = sized(name) .. sized(one.origin) .. pack('>I4', #one.value) .. one.value
    end
    return table.concat(parts), #parts
  end

  function writers.runs(name, list)
    local runs, last = list.raw, list.tail
    if not runs then
      local parts = {}
      for i = 1, #list - 1 do parts[i] = pack('>I7I7', list[i][1], list[i][2]) end
      runs, last = table.concat(parts), list[#list]
    end
    return sized(name) .. pack('>I4', #runs / RUN + 1) .. runs .. pack('>I7I7', last[1], last[2]), 1
  end

  function writers.memberships(name, one)
    return sized(name) .. sized(one.first) .. sized(one.last) .. (one.has_ended and '\1' or '\0'), 1
  end

  function writers.known(name, one)
    return sized(name) .. pack('>I7', one.since) .. (one.ended and '\1' .. pack('>I7', one.ended) or '\0'), 1
  end

  function writers.current(name, entered)
    return sized(name) .. pack('>I7', entered), 1
  end

  local function add_section(set, field, add)
    local entries = rawget(set, field)
    if not entries then return add(pack('>I4', #(set.raw[field] or NONE)) .. (set.raw[field] or NONE)) end
    local parts, count, write = {}, 0, writers[field]
    for name, entry in pairs(entries) do
      local text, n = write(name, entry)
      parts[#parts + 1], count = text, count + n
    end
    local section = table.concat(parts)
    add(pack('>I4I4', 4 + #section, count) .. section)
  end

  function facts.pack(set, is_entity)
    local parts, n = {}, 0
    local function add(part)
      n = n + 1
      parts[n] = part
    end
    add(string.char(#set.keys / 16) .. set.keys)
    add_section(set, 'traits', add)
    local place, count = n + 1, 0
    add('')
    for name, list in pairs(set.states) do
      add_list(name, list, add)
      count = count + 1
    end
    parts[place] = pack('>I4', count)
    add_section(set, 'runs', add)
    add_section(set, 'memberships', add)
    if is_entity then
      add(pack('>I7', set.timer))
      add_section(set, 'known', add)
      if not facts.has_older(set) then set.current = {} end
      add_section(set, 'current', add)
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

  -- Entries of a list one after the other, as `found` from `n` on; how many there are then.
  local function parse_entries(entries, found, n)
    local at = 1
    while at <= #entries do
      local length = unpack_at('>I2', entries, at)
      local origin = sub(entries, at + 2, at + 1 + length)
      at = at + 2 + length
      length = unpack_at('>I2', entries, at)
      n = n + 1
      found[n] = {origin = origin, value = sub(entries, at + 2, at + 1 + length)}
      at = at + 2 + length
    end
    return n
  end

  -- The list as an array.
  function facts.open(list)
    if list.packed then
      local entries = table.concat(list.packed.pieces)
      list.packed = nil
      parse_entries(entries, list, 0)
    end
    return list
  end

  -- Origin and value of the last fact of a list.
  function facts.newest(list)
    local one = list.packed or list[#list]
    return one.origin, one.value
  end

  -- A list with all that is older. The list itself says the same as before.
  function facts.whole(list)
    facts.open(list)
    if not list.older then return list end
    local found, n = {}, 0
    for _, record in ipairs(fetch(facts.TIMELINES, list.older)) do n = parse_entries(record, found, n) end
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
    return (list.packed and list.packed.count or #list) > 2 * facts.KEEP
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
    facts.open(list)
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

  -- Puts a fact behind all others, if that is where it belongs.
  local function add_at_end(packed, origin, value)
    if not before(packed.origin, origin) then return false end
    local piece = sized(origin) .. sized(value)
    packed.pieces[#packed.pieces + 1], packed.origin, packed.value = piece, origin, value
    packed.count, packed.offset, packed.length = packed.count + 1, packed.length, packed.length + #piece
    return true
  end

  function facts.add_state(set, name, origin, value)
    local list = set.states[name] or {}
    if list.packed and add_at_end(list.packed, origin, value) then return true end
    facts.open(list)
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

  -- The runs of a name as an array.
  function facts.runs(set, name)
    local list = set.runs[name]
    if not list then return {} end
    if list.raw then
      local raw, tail = list.raw, list.tail
      list.raw, list.tail = nil, nil
      for at = 1, #raw, RUN do
        local first, last = unpack_at('>I7I7', raw, at)
        list[#list + 1] = {first, last}
      end
      list[#list + 1] = tail
    end
    return list
  end

  -- The last run of a name, and how many there are before it.
  function facts.last_run(set, name)
    local list = set.runs[name]
    if not list then return nil, 0 end
    if list.raw then return list.tail, #list.raw / RUN end
    return list[#list], #list - 1
  end

  -- Where a run begins in or behind the last one: that goes on, or another follows; `is_new`, unless it lies in the last one.
  local function add_run_at_end(list, first, last, gap)
    local tail = list.tail
    if last <= tail[2] then return false end
    if first <= tail[2] + gap then
      list.tail = {tail[1], last}
    else
      list.raw, list.tail = list.raw .. pack('>I7I7', tail[1], tail[2]), {first, last}
    end
    return true
  end

  function facts.add_run(set, name, first, last, gap)
    local known = set.runs[name]
    if known and known.raw and first >= known.tail[1] then return add_run_at_end(known, first, last, gap) end
    local list = facts.runs(set, name)
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
    for name in pairs(other.runs) do
      for _, run in ipairs(facts.runs(other, name)) do facts.add_run(set, name, run[1], run[2], gap_of(name)) end
    end
    for name, one in pairs(other.memberships) do facts.add_membership(set, name, one) end
  end
end
