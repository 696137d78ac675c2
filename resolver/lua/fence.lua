-- The fence: a batch that does not begin where Redis stands is refused, and so is one that the outbox has no room for.
-- Every key that is written without being read otherwise is read once here, so that a key of a wrong type fails the
-- call before anything is written.
local function offsets_now()
  local fields = {}
  for i = 1, moves do fields[i] = ARGV[3 * i] end
  return fields, fetch(OFFSETS, fields)
end

local fields, offsets = offsets_now()
for i = 1, moves do
  if (offsets[i] or '') ~= ARGV[3 * i + 1] then
    local reply = {'fenced'}
    for j = 1, moves do
      reply[2 * j], reply[2 * j + 1] = fields[j], offsets[j] or ''
    end
    return reply
  end
end

local meta = redis.call('HMGET', META, 'generation', 'number', 'slot', 'chunk', 'pending')
local generation, number = meta[1], tonumber(meta[2])
local last_slot, last_chunk, pending = tonumber(meta[3]), tonumber(meta[4]), tonumber(meta[5])
if not (generation and number and last_slot and last_chunk and pending) then
  return redis.error_reply('NEXUS the namespace is not open: its meta hash is gone')
end
if pending >= limit then return {'full', pending} end
redis.call('XLEN', OUTBOX)
redis.call('HLEN', CHUNKS)
redis.call('HLEN', HISTORY)
local has_synonyms = redis.call('HLEN', SYNONYMS) > 0
