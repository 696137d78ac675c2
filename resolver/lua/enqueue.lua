-- enqueue: a batch of transitions was read: what matched waits for delivery, and the cursor moves.
--
-- KEYS   1 cursor (HASH)  2 changes (HASH)  then for each endpoint: waiting (HASH id -> record), due (ZSET id -> ms),
--        order (ZSET id -> place), standing (HASH), recent (LIST)
-- ARGV   1 now, ms  2 n, then n times: field of the cursor, value expected, value
--        m, then m times: field of the changes, how many
--        then for each endpoint: most that may wait; how many were too old; which settings it has; k, then k times:
--        id, record
-- Reply  1, or 0 and nothing done when the cursor is not where expected
-- Cost   linear in what is given
--
-- Beyond what may wait the oldest are dropped, and counted; so is everything while the endpoint is gone under the settings
-- that it has.
local at = 0
local function next_one() at = at + 1; return ARGV[at] end
local function next_number() return tonumber(next_one()) end

local now, moves, changes = next_one(), {}, {}
for i = 1, next_number() do
  local field, expected, value = next_one(), next_one(), next_one()
  if (redis.call('HGET', KEYS[1], field) or '') ~= expected then return 0 end
  moves[i] = {field, value}
end
redis.call('HLEN', KEYS[2])
for i = 3, #KEYS, 5 do -- a key of a wrong type fails the call before anything is written
  redis.call('HLEN', KEYS[i])
  redis.call('ZCARD', KEYS[i + 1])
  redis.call('ZCARD', KEYS[i + 2])
  redis.call('HLEN', KEYS[i + 3])
end

for _, move in ipairs(moves) do redis.call('HSET', KEYS[1], move[1], move[2]) end
for _ = 1, next_number() do redis.call('HINCRBY', KEYS[2], next_one(), next_one()) end
for i = 3, #KEYS, 5 do
  local waiting, due, order, standing = KEYS[i], KEYS[i + 1], KEYS[i + 2], KEYS[i + 3]
  local most = next_number()
  redis.call('HINCRBY', standing, 'old', next_one())
  local is_gone, count = redis.call('HGET', standing, 'disabled') == next_one(), next_number()
  if is_gone then redis.call('HINCRBY', standing, 'dropped', count) end
  for _ = 1, count do
    local id, record = next_one(), next_one()
    if not is_gone and redis.call('HSETNX', waiting, id, record) == 1 then
      redis.call('ZADD', due, now, id)
      redis.call('ZADD', order, redis.call('HINCRBY', standing, 'taken', 1), id)
    end
  end
  local surplus = redis.call('HLEN', waiting) - most
  for _ = 1, surplus do
    local oldest = redis.call('ZPOPMIN', order)[1]
    redis.call('HDEL', waiting, oldest)
    redis.call('ZREM', due, oldest)
  end
  if surplus > 0 then redis.call('HINCRBY', standing, 'dropped', surplus) end
end
return 1
