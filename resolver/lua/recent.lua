-- The last events of each link, for people to look at. They are no part of the answer.
--
-- RECENT   link handle -> what came last, as it came, times: 2 bytes length + text of an event: 7 bytes instant at which it
--            happened (as in `facts`), source, NUL, event id, NUL, and what a person wants to see of it, which is Python's
--          link handle, '-' -> the newest of what came before that, likewise, in the order of their texts, each event once
--
-- A message has what the batch says of its link, or nothing. It is put behind what came last; when that has become long, it
-- is folded into the rest. So an event costs the same, a few of its like, whatever a link keeps.
--
-- One key (source, NUL, event id) is one event: of several texts the last counts. Nothing is dropped that is not older than
-- `recent.most` others: the two records together hold these, in whatever order they came, and however often.
-- Cost   linear in what is sent; a fold, once in several events, in what the link keeps
do
  local LONG = 120 * math.sqrt(recent.most) -- bytes; where rewriting the one record and the other cost the same
  local sub, find = string.sub, string.find
  local lately, before_that, dirty = {}, {}, {} -- link handle -> record, '' for none; handles that something came to

  local function sized(text)
    return struct.pack('>I2', #text) .. text
  end

  local function key_of(text)
    return sub(text, 8, find(text, '\0', find(text, '\0', 8, true) + 1, true))
  end

  local function texts_in(record)
    local texts, at = {}, 1
    while at <= #record do
      local length = struct.unpack('>I2', record, at)
      texts[#texts + 1] = sub(record, at + 2, at + 1 + length)
      at = at + 2 + length
    end
    return texts
  end

  -- Newer events behind others, which lose as many at the front; nil where they are not newer, or one may be there.
  local function appended(record, texts)
    local starts, at, seen = {}, 1, {}
    while at <= #record do
      starts[#starts + 1] = at
      at = at + 2 + struct.unpack('>I2', record, at)
    end
    local last, parts = #starts > 0 and sub(record, starts[#starts] + 2) or '', {''}
    for i, text in ipairs(texts) do
      local key = key_of(text)
      if seen[key] or not before(last, text) or find(record, key, 1, true) then return nil end
      seen[key], last, parts[i + 1] = true, text, sized(text)
    end
    local kept = math.min(#starts, recent.most - #texts)
    if kept < 0 then return nil end
    parts[1] = kept > 0 and sub(record, starts[#starts - kept + 1]) or ''
    return table.concat(parts)
  end

  local function united(record, texts)
    local last_of, found, parts = {}, {}, {}
    for _, list in ipairs({texts_in(record), texts}) do
      for _, text in ipairs(list) do
        local key = key_of(text)
        if not last_of[key] or before(last_of[key], text) then last_of[key] = text end
      end
    end
    for _, text in pairs(last_of) do found[#found + 1] = text end
    table.sort(found, before)
    for i = math.max(1, #found - recent.most + 1), #found do parts[#parts + 1] = sized(found[i]) end
    return table.concat(parts)
  end

  local function read(records, handles, suffix)
    local wanted, fields = {}, {}
    for _, handle in ipairs(handles) do
      if not records[handle] then
        records[handle], wanted[#wanted + 1], fields[#fields + 1] = '', handle, handle .. suffix
      end
    end
    for i, record in ipairs(fetch(recent.RECENT, fields)) do records[wanted[i]] = record or '' end
  end

  local function fold(handles)
    read(before_that, handles, '-')
    for _, handle in ipairs(handles) do
      local texts = texts_in(lately[handle])
      before_that[handle] = appended(before_that[handle], texts) or united(before_that[handle], texts)
      lately[handle], recent.gone[#recent.gone + 1] = '', handle
      recent.records[handle .. '-'] = before_that[handle]
    end
  end

  -- What came to each link, behind what came last.
  local function add(handles, came)
    local long = {}
    read(lately, handles, '')
    for i, handle in ipairs(handles) do
      lately[handle], dirty[handle] = lately[handle] .. came[i], true
    end
    for handle in pairs(dirty) do
      if #lately[handle] > LONG then long[#long + 1] = handle else recent.records[handle] = lately[handle] end
    end
    if #long > 0 then fold(long) end
  end

  -- A link that remains of one that is about to go has its events as well, as it has its facts (`learn`).
  local function inherit()
    local heirs, from, came = {}, {}, {}
    for i = 1, n_facts do
      local message = ARGV[first_handle + 2 * n_links + i - 1]
      if sub(message, 17, 17) == '=' then heirs[#heirs + 1], from[#from + 1] = sub(message, 1, 16), sub(message, -16) end
    end
    read(lately, from, '')
    read(before_that, from, '-')
    for i, handle in ipairs(from) do came[i] = before_that[handle] .. lately[handle] end
    add(heirs, came)
  end

  function recent.learn()
    if recent.most == 0 then return end
    local handles, came = {}, {}
    for i = 1, recent.n do
      local message = ARGV[first_handle + 2 * n_links + n_facts + i - 1]
      if message ~= '' then handles[#handles + 1], came[#came + 1] = ARGV[first_handle + i - 1], message end
    end
    if recent.n > 0 then add(handles, came) else inherit() end
  end

  function recent.write()
    for _, handle in ipairs(gone_links) do
      recent.gone[#recent.gone + 1], recent.gone[#recent.gone + 2] = handle, handle .. '-'
    end
    save(recent.RECENT, recent.records)
    drop(recent.RECENT, recent.gone)
  end
end
