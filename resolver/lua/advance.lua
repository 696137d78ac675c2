-- advance: the transitions up to here are published; what lies behind is dropped.
--
-- KEYS   1 meta (HASH)  2 cursor (HASH)  3 outbox (STREAM)  4 redacted (HASH)
-- ARGV   1 generation expected  2 number expected  3 generation  4 number  5 transitions published since
-- Reply  1, or 0 and nothing done when the cursor is not where expected
-- Cost   linear in the entries dropped
local META, CURSOR, OUTBOX, REDACTED = unpack(KEYS)
local cursor = redis.call('HMGET', CURSOR, 'generation', 'number')
if (cursor[1] or '0') ~= ARGV[1] or (cursor[2] or '0') ~= ARGV[2] then return 0 end
local pending = tonumber(redis.call('HGET', META, 'pending') or '0')
redis.call('XLEN', OUTBOX)
redis.call('HSET', CURSOR, 'generation', ARGV[3], 'number', ARGV[4])
redis.call('HSET', META, 'pending', math.max(0, pending - tonumber(ARGV[5])))
redis.call('XTRIM', OUTBOX, 'MINID', ARGV[3] .. '-' .. string.format('%.0f', tonumber(ARGV[4]) + 1))
for _, id in ipairs(redis.call('HKEYS', REDACTED)) do
  local generation, number = string.match(id, '(%d+)-(%d+)')
  generation, number = tonumber(generation), tonumber(number)
  local is_behind = generation == tonumber(ARGV[3]) and number <= tonumber(ARGV[4])
  if generation < tonumber(ARGV[3]) or is_behind then redis.call('HDEL', REDACTED, id) end
end
return 1
