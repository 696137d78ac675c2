-- chunks: the next entries of long lists, and where their rest is.
--
-- KEYS   1 chunks (HASH)
-- ARGV   1 entries wanted; a chunk is given whole, so there may be more  2.. numbers of chunks
-- Reply  {entries, 16 bytes each, in one string; number of a chunk that is left, ...}
-- Cost   linear in the entries returned
local CHUNKS = KEYS[1]
local found, wanted = {}, 16 * tonumber(ARGV[1])
local waiting, size = {}, 0
for i = 2, #ARGV do waiting[i - 1] = tonumber(ARGV[i]) end
while #waiting > 0 and size < wanted do
  local record = redis.call('HGET', CHUNKS, table.remove(waiting))
  if record then -- else its list was resolved anew since it was named
    found[#found + 1] = string.sub(record, 9)
    size = size + #record - 8
    local left, right = struct.unpack('>I4I4', record)
    if left ~= 0 then waiting[#waiting + 1] = left end
    if right ~= 0 then waiting[#waiting + 1] = right end
  end
end
return {table.concat(found), unpack(waiting)}
