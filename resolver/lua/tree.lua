-- tree: the numbers of the chunks of long lists.
--
-- KEYS   1 chunks (HASH)
-- ARGV   1 numbers wanted  2.. numbers of chunks
-- Reply  {{numbers}, {numbers of those that are still to be asked for}}
-- Cost   linear in the numbers returned
local found, waiting = {}, {}
for i = 2, #ARGV do waiting[i - 1] = tonumber(ARGV[i]) end
while #waiting > 0 and #found < tonumber(ARGV[1]) do
  local id = table.remove(waiting)
  local record = redis.call('HGET', KEYS[1], id)
  if record then
    local left, right = struct.unpack('>I4I4', record)
    found[#found + 1] = id
    if left ~= 0 then waiting[#waiting + 1] = left end
    if right ~= 0 then waiting[#waiting + 1] = right end
  end
end
return {found, waiting}
