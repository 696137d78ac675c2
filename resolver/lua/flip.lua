-- flip: the new answer becomes visible, at once, if nothing has come meanwhile that it does not know of.
--
-- KEYS   1 meta 2 unsettled (HASH each)  3 touched (SET)  4 staged (LIST)  5 outbox (STREAM)
--        6 nodes 7 quarantine (HASH each)  8 worker (STRING)  9 said 10 watched (HASH each)
-- ARGV   1 token  2 members that touched is known to have  3 '1' if what is to be summed up is noted, or ''
--        4 number of node records n, then n times key, record
--        then number of quarantine records, then key, record ('' for none); then keys that are settled, each with its cause
-- Reply  1, or 0 and nothing done
-- Cost   linear in the arguments and in the transitions
local META, UNSETTLED, TOUCHED, STAGED, OUTBOX, NODES, QUARANTINE, WORKER, SAID, WATCHED = unpack(KEYS)
if redis.call('GET', WORKER) ~= ARGV[1] or redis.call('SCARD', TOUCHED) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' and redis.call('HLEN', SAID) > 0 then return 0 end -- facts have come meanwhile
local meta = redis.call('HMGET', META, 'generation', 'number', 'pending')
local number, pending = tonumber(meta[2]), tonumber(meta[3])
local now = redis.call('TIME')
local ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
for i = 0, redis.call('LLEN', STAGED) - 1 do
  local piece = redis.call('LINDEX', STAGED, i)
  local count = struct.unpack('>I4', piece)
  redis.call('XADD', OUTBOX, meta[1] .. '-' .. string.format('%.0f', number + 1), 'count', count, 'ms', ms,
    'made', string.sub(piece, 5))
  number, pending = number + count, pending + count
end
redis.call('HSET', META, 'number', string.format('%.0f', number), 'pending', pending, 'job', 'visible',
  'flipped', meta[2])
if redis.call('EXISTS', WATCHED) == 1 then redis.call('HSET', WATCHED, '!', '') end
local at = 4
for _, hash in ipairs({NODES, QUARANTINE}) do
  local count = tonumber(ARGV[at])
  for i = at + 1, at + 2 * count, 2 do
    if ARGV[i + 1] == '' then redis.call('HDEL', hash, ARGV[i]) else redis.call('HSET', hash, ARGV[i], ARGV[i + 1]) end
  end
  at = at + 1 + 2 * count
end
for i = at, #ARGV, 2 do
  if redis.call('HGET', UNSETTLED, ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', UNSETTLED, ARGV[i]) end
end
redis.call('UNLINK', STAGED, TOUCHED)
return 1
