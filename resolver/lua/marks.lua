-- Marks: what operators said of an identifier, whether or not an event ever named it.
--
-- Mark record: entries in a row: 1 byte what, 2 bytes length + log position of the operator event, for t and a 16 bytes key
--   of the other identifier. What: b blocked, u unblocked, r released, e erased, t together with, a apart from.
-- Of entries that contradict each other the one of highest position is kept; of erasures the first.
local marks, dirty_marks = {}, {} -- key -> array of {what, position, other}
local ABOUT = {b = 'block', u = 'block', r = 'release', e = 'erase', t = 'pair', a = 'pair'}

local function parse_marks(record)
  local entries, at = {}, 1
  while at <= #record do
    local what, length = string.sub(record, at, at), struct.unpack('>I2', record, at + 1)
    local entry = {what = what, position = string.sub(record, at + 3, at + 2 + length)}
    at = at + 3 + length
    if ABOUT[what] == 'pair' then
      entry.other = string.sub(record, at, at + 15)
      at = at + 16
    end
    entries[#entries + 1] = entry
  end
  return entries
end

local function marks_record(entries)
  local parts = {}
  for _, entry in ipairs(entries) do
    parts[#parts + 1] = entry.what .. struct.pack('>I2', #entry.position) .. entry.position .. (entry.other or '')
  end
  return table.concat(parts)
end

local function read_marks(keys)
  if not has_marks then return end
  local wanted = {}
  for _, key in ipairs(keys) do
    if marks[key] == nil then
      marks[key] = false
      wanted[#wanted + 1] = key
    end
  end
  local records = fetch(MARKS, wanted)
  for i, key in ipairs(wanted) do marks[key] = records[i] and parse_marks(records[i]) end
end

local function marked(key, what)
  for _, entry in ipairs(marks[key] or {}) do
    if entry.what == what then return entry end
  end
end

-- Says it of an identifier, unless something that counts more was said; true if it is new.
local function mark(key, what, position, other)
  local entries = marks[key] or {}
  for i, entry in ipairs(entries) do
    if ABOUT[entry.what] == ABOUT[what] and entry.other == other then
      if what == 'e' or not before(entry.position, position) then return false end
      table.remove(entries, i)
      break
    end
  end
  table.insert(entries, {what = what, position = position, other = other})
  marks[key], dirty_marks[key] = entries, true
  return true
end

-- Identifiers that were erased, if this call names any: a reply that says so.
local function refuse_erased(keys, named)
  local reply = {'erased'}
  for _, key in ipairs(keys) do
    local erased = marked(key, 'e')
    if erased and not named[key] then
      named[key] = true
      reply[#reply + 1], reply[#reply + 2] = key, erased.position
    end
  end
  return #reply > 1 and reply
end
