-- The last events of each link, for people to look at. They are no part of the answer.
--
-- RECENT   link handle -> 2 bytes count, 4 bytes where the last one begins behind this head, then in order, times: 2 bytes
--            length + text of an event: 7 bytes instant at which it happened (as in `facts`), source, NUL, event id, NUL, and
--            what a person wants to see of it, which is Python's
--
-- A message has a record of the events that the batch has of its link, or nothing. Events are in the order of their texts,
-- and one key (source, NUL, event id) is one event: of several texts the last counts. What is kept is the newest, so the
-- same events give the same record in whatever order they come, and however often.
-- Cost   of the next event in time one search for its key; otherwise linear in what the link keeps
local recent = {RECENT = KEYS[24], dirty = {}}

do
  local pack, unpack_at, sub, find = struct.pack, struct.unpack, string.sub, string.find
  local HEAD, KEY = 6, 8 -- bytes of a record's head; where the key begins in a text

  local function key_of(text)
    return sub(text, KEY, find(text, '\0', find(text, '\0', KEY, true) + 1, true))
  end

  local function each(record, take)
    local at = HEAD + 1
    while at <= #record do
      local length = unpack_at('>I2', record, at)
      take(sub(record, at + 2, at + 1 + length))
      at = at + 2 + length
    end
  end

  -- The record with newer events behind it; nil where they are not newer, or it may hold one of them.
  local function appended(record, fresh)
    local count, last = unpack_at('>I2I4', record)
    local more, fresh_last = unpack_at('>I2I4', fresh)
    if not before(sub(record, HEAD + 3 + last), sub(fresh, HEAD + 3)) then return nil end
    local is_new = true
    each(fresh, function(text) is_new = is_new and not find(record, key_of(text), HEAD + 1, true) end)
    if not is_new then return nil end
    local from, kept = HEAD + 1, count
    while kept > 0 and kept + more > most_recent do
      from, kept = from + 2 + unpack_at('>I2', record, from), kept - 1
    end
    local rest = sub(record, from)
    return pack('>I2I4', kept + more, #rest + fresh_last) .. rest .. sub(fresh, HEAD + 1)
  end

  local function packed(texts)
    local parts, length, last = {''}, 0, 0
    for i = math.max(1, #texts - most_recent + 1), #texts do
      parts[#parts + 1] = pack('>I2', #texts[i]) .. texts[i]
      length, last = length + #parts[#parts], length
    end
    parts[1] = pack('>I2I4', #parts - 1, last)
    return table.concat(parts)
  end

  local function united(record, other)
    local last_of, texts = {}, {}
    local function take(text)
      local key = key_of(text)
      if not last_of[key] or before(last_of[key], text) then last_of[key] = text end
    end
    each(record, take)
    each(other, take)
    for _, text in pairs(last_of) do texts[#texts + 1] = text end
    table.sort(texts, before)
    return packed(texts)
  end

  local records = {} -- link handle -> record as it was read or is now, false for none

  local function read(handles)
    local wanted = {}
    for _, handle in ipairs(handles) do
      if records[handle] == nil then
        records[handle] = false
        wanted[#wanted + 1] = handle
      end
    end
    for i, record in ipairs(fetch(recent.RECENT, wanted)) do records[wanted[i]] = record end
  end

  local function add(handle, fresh)
    local record = records[handle]
    local now = fresh
    if record then now = appended(record, fresh) or united(record, fresh) end
    if now ~= record then records[handle], recent.dirty[handle] = now, now end
  end

  -- A link that remains of one that is about to go has its events as well, as it has its facts (`learn`).
  local function inherit()
    local heirs, from = {}, {}
    for i = 1, n_facts do
      local message = ARGV[first_handle + 2 * n_links + i - 1]
      if sub(message, 17, 17) == '=' then heirs[#heirs + 1], from[#from + 1] = sub(message, 1, 16), sub(message, -16) end
    end
    read(heirs)
    read(from)
    for i, heir in ipairs(heirs) do
      if records[from[i]] then add(heir, records[from[i]]) end
    end
  end

  function recent.learn()
    local handles, fresh = {}, {}
    for i = 1, n_recent do
      local message = ARGV[first_handle + 2 * n_links + n_facts + i - 1]
      if message ~= '' then
        handles[#handles + 1], fresh[#fresh + 1] = ARGV[first_handle + i - 1], message
      end
    end
    read(handles)
    for i, handle in ipairs(handles) do add(handle, fresh[i]) end
    if most_recent > 0 then inherit() end
  end

  function recent.write()
    save(recent.RECENT, recent.dirty)
    drop(recent.RECENT, gone_links)
  end
end
