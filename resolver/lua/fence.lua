-- The fence: a batch that does not begin where Redis stands is refused, and so is one that the outbox has no room for, or
-- that was made under other rules, or without knowing of all retractions. Every key that is written without being read
-- otherwise is read once here, so that a key of a wrong type fails the call before anything is written.
--
-- `job` tells of a restructuring in bounded calls: 'beside' while the new answer is prepared, 'visible' while nodes are
-- still to be told of it. Until `hold` (ms) what touches the region is to come again.
do
  local function offsets_now()
    local fields = {}
    for i = 1, moves do fields[i] = ARGV[FIRST_MOVE + 3 * i - 3] end
    return fields, fetch(OFFSETS, fields)
  end

  local fields, offsets = offsets_now()
  for i = 1, moves do
    if (offsets[i] or '') ~= ARGV[FIRST_MOVE + 3 * i - 2] then
      local reply = {'fenced'}
      for j = 1, moves do
        reply[2 * j], reply[2 * j + 1] = fields[j], offsets[j] or ''
      end
      return reply
    end
  end
end

local meta = redis.call('HMGET', META, 'generation', 'number', 'slot', 'chunk', 'pending', 'rules', 'job', 'hold', 'now')
local generation, number = meta[1], tonumber(meta[2])
local last_slot, last_chunk, pending = tonumber(meta[3]), tonumber(meta[4]), tonumber(meta[5])
if not (generation and number and last_slot and last_chunk and pending) then
  return redis.error_reply('NEXUS the namespace is not open: its meta hash is gone')
end
local job, hold = meta[7], tonumber(meta[8] or 0)
profiles.now = profiles.EPOCH + tonumber(meta[9] or 0)
if meta[6] ~= ARGV[3] then return {'rules', meta[6] or ''} end
do
  local retracted = redis.call('SCARD', KEYS[26])
  if (tonumber(ARGV[11]) or retracted) ~= retracted then return {'retracted'} end
end
if pending >= limit and not is_dry then return {'full', pending} end
redis.call('XLEN', OUTBOX)
redis.call('HLEN', CHUNKS)
redis.call('HLEN', HISTORY)
redis.call('HLEN', QUARANTINE)
redis.call('HLEN', PENDING)
redis.call('SCARD', TOUCHED)
redis.call('SCARD', REDACT)
redis.call('HLEN', MOVING)
local has_unsettled = redis.call('HLEN', UNSETTLED) > 0
local has_synonyms = redis.call('HLEN', SYNONYMS) > 0
local has_marks = redis.call('HLEN', MARKS) > 0
local has_suspended = redis.call('HLEN', SUSPENDED) > 0
profiles.is_on = redis.call('HLEN', profiles.SAID) > 0 or n_facts > 0
redis.call('HLEN', profiles.PROFILES)
redis.call('HLEN', profiles.STAFF)
redis.call('ZCARD', profiles.TIMERS)
redis.call('HLEN', profiles.TIMELINES)
redis.call('HLEN', KEYS[24])
profiles.has_unsummed = redis.call('HLEN', profiles.UNSUMMED) > 0
watched.is_on = redis.call('HLEN', watched.KEY) > 0
