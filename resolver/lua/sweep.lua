-- sweep: drops entities that nobody is in: the identifier that they are called after is elsewhere, or is not there.
--
-- KEYS   1 meta 2 nodes 3 slots 4 profiles 5 timelines 6 unsummed (HASH each)  7 timers (ZSET)
-- ARGV   slots
-- Reply  how many were dropped; 0 while a restructuring is under way
-- Cost   linear in the slots
local META, NODES, SLOTS, PROFILES, TIMELINES, UNSUMMED, TIMERS = unpack(KEYS)
if redis.call('HGET', META, 'job') or redis.call('HLEN', UNSUMMED) > 0 then return 0 end
local n_dropped = 0

local function home(slot)
  local record = slot ~= 0 and redis.call('HGET', SLOTS, slot)
  if record and string.byte(record) == 0 then return home((struct.unpack('>I4', record, 2))) end
  return slot
end

local function is_left(slot, record)
  local entity = record and parse_slot(record)
  if not entity or entity.moved_to then return not entity end
  local node = redis.call('HGET', NODES, entity.senior)
  return not node or home((struct.unpack('>I4', node))) ~= tonumber(slot)
end

for i, record in ipairs(fetch(SLOTS, ARGV)) do
  if is_left(ARGV[i], record) then
    local facts_of = redis.call('HGET', PROFILES, ARGV[i])
    if facts_of then drop(TIMELINES, facts.chunks(facts.parse(facts_of))) end
    redis.call('HDEL', SLOTS, ARGV[i])
    redis.call('HDEL', PROFILES, ARGV[i])
    redis.call('ZREM', TIMERS, ARGV[i])
    n_dropped = n_dropped + 1
  end
end
return n_dropped
