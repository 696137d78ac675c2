-- attempted: attempts to deliver notices to an endpoint ended.
--
-- KEYS   1 waiting (HASH id -> record)  2 due (ZSET id -> ms)  3 order (ZSET id -> place)  4 standing (HASH)
--        5 recent (LIST)
-- ARGV   for each attempt, in their order: id; record that it had; delivered, again, failed or gone; now, ms; again: when,
--        ms; again: the record from now on; what is told of it, JSON; why it failed; until when the endpoint is left alone,
--        ms; gone: which settings of the endpoint it was
-- Reply  how many were written down: not those that do not wait any more, or were attempted by somebody else
-- Cost   linear in the attempts; gone: and in what waits
local WAITING, DUE, ORDER, STANDING, RECENT = unpack(KEYS)
local written = 0
redis.call('HLEN', WAITING) -- a key of a wrong type fails the call before anything is written
redis.call('ZCARD', DUE)
redis.call('ZCARD', ORDER)
redis.call('HLEN', STANDING)
redis.call('LLEN', RECENT)

local function leave(id)
  redis.call('HDEL', WAITING, id)
  redis.call('ZREM', DUE, id)
  redis.call('ZREM', ORDER, id)
end

for at = 1, #ARGV, 10 do
  local id, had, verdict, now, again, record, told, why, held, settings = unpack(ARGV, at, at + 9)
  if redis.call('HGET', WAITING, id) == had then
    written = written + 1
    redis.call('HSET', STANDING, 'held_until', held)
    redis.call('LPUSH', RECENT, told)
    if verdict ~= 'delivered' then redis.call('HSET', STANDING, 'error', why, 'error_at', now) end
    if verdict == 'again' then
      redis.call('HSET', WAITING, id, record)
      redis.call('ZADD', DUE, again, id)
    else
      leave(id)
      redis.call('HINCRBY', STANDING, verdict == 'delivered' and 'delivered' or 'failed', 1)
    end
    if verdict == 'delivered' then redis.call('HSET', STANDING, 'delivered_at', now) end
    if verdict == 'gone' then
      redis.call('HINCRBY', STANDING, 'dropped', redis.call('HLEN', WAITING))
      redis.call('HSET', STANDING, 'disabled', settings)
      redis.call('DEL', WAITING, DUE, ORDER)
    end
  end
end
redis.call('LTRIM', RECENT, 0, 19)
return written
