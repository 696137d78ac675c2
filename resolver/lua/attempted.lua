-- attempted: an attempt to deliver a notice ended.
--
-- KEYS   1 waiting (HASH id -> record)  2 due (ZSET id -> ms)  3 order (ZSET id -> place)  4 standing (HASH)
--        5 recent (LIST)
-- ARGV   1 id  2 record that it had  3 delivered, again, failed or gone  4 now, ms  5 again: when, ms
--        6 again: the record from now on  7 what is told of it, JSON  8 why it failed  9 until when the endpoint is left
--        alone, ms  10 gone: which settings of the endpoint it was
-- Reply  1, or 0 and nothing done when it does not wait, or was attempted by somebody else
-- Cost   constant; gone: linear in what waits
local WAITING, DUE, ORDER, STANDING, RECENT = unpack(KEYS)
local id, verdict, now = ARGV[1], ARGV[3], ARGV[4]
if redis.call('HGET', WAITING, id) ~= ARGV[2] then return 0 end
redis.call('ZCARD', DUE)
redis.call('ZCARD', ORDER)
redis.call('HLEN', STANDING)
redis.call('LLEN', RECENT)

redis.call('HSET', STANDING, 'held_until', ARGV[9])
redis.call('LPUSH', RECENT, ARGV[7])
redis.call('LTRIM', RECENT, 0, 19)
if verdict == 'delivered' then
  redis.call('HSET', STANDING, 'delivered_at', now)
else
  redis.call('HSET', STANDING, 'error', ARGV[8], 'error_at', now)
end
if verdict == 'again' then
  redis.call('HSET', WAITING, id, ARGV[6])
  redis.call('ZADD', DUE, ARGV[5], id)
  return 1
end
redis.call('HDEL', WAITING, id)
redis.call('ZREM', DUE, id)
redis.call('ZREM', ORDER, id)
redis.call('HINCRBY', STANDING, verdict == 'delivered' and 'delivered' or 'failed', 1)
if verdict == 'gone' then
  redis.call('HINCRBY', STANDING, 'dropped', redis.call('HLEN', WAITING))
  redis.call('HSET', STANDING, 'disabled', ARGV[10])
  redis.call('DEL', WAITING, DUE, ORDER)
end
return 1
