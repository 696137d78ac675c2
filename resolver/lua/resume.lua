-- resume: where to go on reading the partitions that were just assigned, or why not.
--
-- KEYS   1 meta 2 offsets 3 topics 4 rewinds (HASH each)
-- ARGV   1 topic  2 the broker's id of it ('' unknown)  3 '1': begin again where there is no offset
--        then pairs: partition field, offset the consumer group committed ('' none)
-- Reply  {'ok', generation, '1' if it is a new one, offset ('' none), ...}
--        {'recreated', id known}        the topic is another one than the offsets are of
--        {'emptied', partition field}   the group has read on, the store knows nothing
-- Cost   linear in the partitions
--
-- A store that is behind its group went back in time. It replays under a new generation: one for the whole fall, which
-- the rewinds remember until the store has caught up. A new generation is the clock in seconds at least, so that a copy
-- that is restored twice does not give one generation out twice.
local META, OFFSETS, TOPICS, REWINDS = unpack(KEYS)
local known = redis.call('HGET', TOPICS, ARGV[1])
if known and ARGV[2] ~= '' and known ~= ARGV[2] then return {'recreated', known} end

local is_empty = redis.call('HLEN', OFFSETS) == 0
local reply, falls, is_falling, forgotten = {'ok', '', '0'}, {}, false, {}
for i = 4, #ARGV, 2 do
  local field, group = ARGV[i], tonumber(ARGV[i + 1]) or 0
  local offset = redis.call('HGET', OFFSETS, field)
  reply[#reply + 1] = offset or ''
  if group > 0 and is_empty and ARGV[3] ~= '1' then return {'emptied', field} end
  if group > (tonumber(offset) or 0) then falls[field] = ARGV[i + 1] end
end
for field, group in pairs(falls) do
  local seen = redis.call('HGET', REWINDS, field)
  if not seen then is_falling = true end
end
-- what has caught up is forgotten; while one is still behind, it is the same fall
local rewinds = redis.call('HGETALL', REWINDS)
for i = 1, #rewinds, 2 do
  local offset = tonumber(redis.call('HGET', OFFSETS, rewinds[i])) or 0
  if offset >= tonumber(rewinds[i + 1]) then forgotten[#forgotten + 1] = rewinds[i] else is_falling = false end
end

for i = 1, #forgotten do redis.call('HDEL', REWINDS, forgotten[i]) end
for field, group in pairs(falls) do redis.call('HSET', REWINDS, field, group) end
if ARGV[2] ~= '' then redis.call('HSET', TOPICS, ARGV[1], ARGV[2]) end
if is_falling then
  local next_one = tonumber(redis.call('HGET', META, 'generation')) + 1
  local generation = math.max(next_one, tonumber(redis.call('TIME')[1]))
  redis.call('HSET', META, 'generation', string.format('%.0f', generation), 'number', '0')
  reply[3] = '1'
end
reply[2] = redis.call('HGET', META, 'generation')
return reply
