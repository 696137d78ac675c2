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
