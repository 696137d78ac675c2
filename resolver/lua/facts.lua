-- What is said of links, and what that comes to for an entity: the same sets of facts, so that an entity's are those of its
-- links. A set grows by what is said and by another set, in any order and any number of times, to the same.
--
-- Instants are milliseconds since the year 1 (7 bytes), so that none is negative. An origin is the instant at which an event
-- happened, its source, NUL, its event id: its byte order is the order of facts. Values are canonical JSON.
--
-- Facts record: 1 byte count, times: 16 bytes identifier key of the link (of an entity: none); then
--   traits       section: sized name, sized origin, 4 bytes length + value: the last of each name and source
--   states       4 bytes count, times: sized state, what is older, 4 bytes count, 4 bytes where the last begins, 4 bytes length of
--                what follows, times: sized origin, sized value, in order
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
--                      strings, origin, instant, value: of the last}; with what is older: older, last, value, entered
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

  -- Each reads an entry of a section: its name, what it says, and where the next one begins.
  local RUN = 14
  local sections = {}

  function sections.traits(raw, at)
    local name, origin, value, ends = unpack_at('>I2c0I2c0I4c0', raw, at)
    return name, {[facts.source_of(origin)] = {origin = origin, value = value}}, ends
  end

  function sections.runs(raw, at)
    local name, count, begins = unpack_at('>I2c0I4', raw, at)
    local last = begins + RUN * (count - 1)
    local first, ends = unpack_at('>I7I7', raw, last)
    return name, {raw = sub(raw, begins, last - 1), tail = {first, ends}}, last + RUN
  end

  function sections.memberships(raw, at)
    local name, first, last, has_ended, ends = unpack_at('>I2c0I2c0I2c0B', raw, at)
    return name, {first = first, last = last, has_ended = has_ended == 1}, ends
  end

  function sections.known(raw, at)
    local name, since, has_ended, ends = unpack_at('>I2c0I7B', raw, at)
    if has_ended == 0 then return name, {since = since}, ends end
    return name, {since = since, ended = (unpack_at('>I7', raw, ends))}, ends + 7
  end

  function sections.current(raw, at)
    return unpack_at('>I2c0I7', raw, at)
  end

  local function parse_section(field, raw)
    local found, read, at = {}, sections[field], 5
    if raw == nil or raw == NONE then return found end
    for _ = 1, (unpack_at('>I4', raw)) do
      local name, entry, ends = read(raw, at)
      if field == 'traits' and found[name] then
        local source, one = next(entry)
        found[name][source] = one
      else
        found[name] = entry
      end
      at = ends
    end
    return found
  end

  local lazy = {__index = function(set, field)
    if not sections[field] then return nil end
    local found = parse_section(field, set.raw[field])
    set[field] = found
    return found
  end}

  local function parse_list(record, at)
    local list, count, offset, entries = {}, 0, 0, nil
    local name, chunks
    name, chunks, at = unpack_at('>I2c0I4', record, at)
    if chunks > 0 then
      list.older = {}
      for i = 1, chunks do list.older[i], at = unpack_at('>I4', record, at) end
      list.last, list.value, list.entered, at = unpack_at('>I2c0I2c0I7', record, at)
    end
    count, offset, entries, at = unpack_at('>I4I4I4c0', record, at)
    if count > 0 then
      local origin, value = unpack_at('>I2c0I2c0', entries, offset + 1)
      list.packed = {count = count, length = #entries, offset = offset, pieces = {entries}, origin = origin,
        instant = facts.instant_of(origin), value = value}
    end
    return name, list, at
  end

  function facts.parse(record)
    local at = 2 + 16 * string.byte(record)
    local set, raw, count = {keys = sub(record, 2, at - 1), states = {}, timer = 0}, {}, 0
    set.raw = raw
    raw.traits, count, at = unpack_at('>I4c0I4', record, at)
    for _ = 1, count do
      local name, list, ends = parse_list(record, at)
      set.states[name], at = list, ends
    end
    raw.runs, raw.memberships, at = unpack_at('>I4c0I4c0', record, at)
    if at <= #record then set.timer, raw.known, raw.current = unpack_at('>I7I4c0I4c0', record, at) end
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

  local function piece_of(origin, value)
    return pack('>I2c0I2c0', #origin, origin, #value, value)
  end

  local function pieces_of(list)
    local packed = list.packed
    if packed then return packed.pieces, packed.count, packed.offset, packed.length end
    local pieces, length, offset = {}, 0, 0
    for i, one in ipairs(list) do
      pieces[i], offset = piece_of(one.origin, one.value), length
      length = length + #pieces[i]
    end
    return pieces, #pieces, offset, length
  end

  local function pack_list(parts, name, list)
    local older = list.older or {}
    parts[#parts + 1] = pack('>I2c0I4', #name, name, #older)
    for _, chunk in ipairs(older) do parts[#parts + 1] = pack('>I4', chunk) end
    if list.older then parts[#parts + 1] = piece_of(list.last, list.value) .. pack('>I7', list.entered) end
    local pieces, count, offset, length = pieces_of(list)
    parts[#parts + 1] = pack('>I4I4I4', count, offset, length)
    for _, piece in ipairs(pieces) do parts[#parts + 1] = piece end
  end

  -- Each writes an entry of a section, and says how many that makes.
  local writers = {}

  function writers.traits(name, by_source)
    local parts = {}
    for _, one in pairs(by_source) do
      parts[#parts + 1] = pack('>I2c0I2c0I4c0', #name, name, #one.origin, one.origin, #one.value, one.value)
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
    return pack('>I2c0I4', #name, name, #runs / RUN + 1) .. runs .. pack('>I7I7', last[1], last[2]), 1
  end

  function writers.memberships(name, one)
    local ends = one.has_ended and 1 or 0
    return pack('>I2c0I2c0I2c0B', #name, name, #one.first, one.first, #one.last, one.last, ends), 1
  end

  function writers.known(name, one)
    local text = pack('>I2c0I7B', #name, name, one.since, one.ended and 1 or 0)
    return one.ended and text .. pack('>I7', one.ended) or text, 1
  end

  function writers.current(name, entered)
    return pack('>I2c0I7', #name, name, entered), 1
  end

  local function section_of(set, field)
    local entries = rawget(set, field)
    if not entries then return set.raw[field] or NONE end
    local parts, count, write = {''}, 0, writers[field]
    for name, entry in pairs(entries) do
      local text, n = write(name, entry)
      parts[#parts + 1], count = text, count + n
    end
    parts[1] = pack('>I4', count)
    return table.concat(parts)
  end

  function facts.pack(set, is_entity)
    local traits, count = section_of(set, 'traits'), 0
    local parts = {string.char(#set.keys / 16) .. set.keys .. pack('>I4c0', #traits, traits), ''}
    for name, list in pairs(set.states) do
      pack_list(parts, name, list)
      count = count + 1
    end
    parts[2] = pack('>I4', count)
    local runs, memberships = section_of(set, 'runs'), section_of(set, 'memberships')
    parts[#parts + 1] = pack('>I4c0I4c0', #runs, runs, #memberships, memberships)
    if is_entity then
      local known, current = section_of(set, 'known'), facts.has_older(set) and section_of(set, 'current') or NONE
      parts[#parts + 1] = pack('>I7I4c0I4c0', set.timer, #known, known, #current, current)
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
      local origin, value, ends = unpack_at('>I2c0I2c0', entries, at)
      n, at = n + 1, ends
      found[n] = {origin = origin, value = value}
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

  -- Instant and value of the last fact of a list.
  function facts.newest(list)
    local packed = list.packed
    if packed then return packed.instant, packed.value end
    local one = list[#list]
    return facts.instant_of(one.origin), one.value
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
      for i = first, math.min(first + facts.CHUNK - 1, count) do parts[#parts + 1] = piece_of(list[i].origin, list[i].value) end
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

  -- Puts a fact behind all others, which are of earlier instants.
  local function add_at_end(packed, origin, value, instant)
    local piece = piece_of(origin, value)
    packed.pieces[#packed.pieces + 1], packed.origin, packed.instant, packed.value = piece, origin, instant, value
    packed.count, packed.offset, packed.length = packed.count + 1, packed.length, packed.length + #piece
    return true
  end

  function facts.add_state(set, name, origin, value)
    local list, instant = set.states[name] or {}, facts.instant_of(origin)
    if list.packed and instant > list.packed.instant then return add_at_end(list.packed, origin, value, instant) end
    facts.open(list)
    if list.older and instant <= facts.instant_of(list.last) then list = facts.whole(list) end
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

  -- Where a run begins in or behind the last one: that goes on, or another follows.
  local function add_run_at_end(list, first, last, gap)
    local tail = list.tail
    if last <= tail[2] then return false end
    if first <= tail[2] + gap then
      tail[2] = last
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
