-- Long lists, of members and of links. A record keeps the last 32 entries and points to chunks that hold the rest and form
-- a binary tree, so that to append and to concatenate cost the same whatever the length.
--
-- Chunk record: 4 bytes left chunk, 4 bytes right chunk (0: none), 16 bytes for each entry.
local RECENT = 32 * 16
local chunks = {}

local function new_chunk(left, right, entries)
  last_chunk = last_chunk + 1
  chunks[last_chunk] = struct.pack('>I4I4', left, right) .. entries
  return last_chunk
end

local function append(recent, older, entries)
  if #recent + #entries <= RECENT then return recent .. entries, older end
  return entries, new_chunk(older, 0, recent)
end

-- All entries of a list, as an array, and the numbers of its chunks; no more than one call may read, or `whole`.
local function listed(recent, older, whole)
  local entries, n, ids, waiting, sub = {}, 0, {}, {}, string.sub
  local function take(data, from)
    if n > most_read and not whole then error(LARGE, 0) end
    for at = from, #data, 16 do
      n = n + 1
      entries[n] = sub(data, at, at + 15)
    end
  end
  take(recent, 1)
  if older ~= 0 then waiting[1] = older end
  while #waiting > 0 do
    local id = table.remove(waiting)
    local record = chunks[id] or redis.call('HGET', CHUNKS, id)
    local left, right = struct.unpack('>I4I4', record)
    ids[#ids + 1] = id
    take(record, 9)
    if left ~= 0 then waiting[#waiting + 1] = left end
    if right ~= 0 then waiting[#waiting + 1] = right end
  end
  return entries, ids
end

-- The chunks of a list that is written whole; what does not fit the record itself.
local LONG = 512

local function chunked(entries)
  local older, n = 0, #entries
  if n * 16 <= RECENT then return table.concat(entries), 0 end
  for first = 1, n - 1, LONG do
    older = new_chunk(older, 0, table.concat(entries, '', first, math.min(first + LONG - 1, n - 1)))
  end
  return entries[n], older
end
