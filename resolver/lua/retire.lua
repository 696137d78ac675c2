-- retire: clears away what the new answer has no need of, and remembers what happened.
--
-- KEYS   1 doomed (LIST)  2 meta 3 slots 4 chunks 5 links 6 suspended 7 history 8 synonyms 9 pending 10 said 11 profiles 12 staff 13 timelines (HASH each)  14 touched (SET)  15 nodes 16 recent (HASH each)
-- ARGV   1 how many entries at most
-- Reply  entries done: 0 at the end
-- Cost   linear in the entries
local DOOMED, META, SLOTS, CHUNKS, LINKS, SUSPENDED, HISTORY_KEY, SYNONYMS, PENDING, SAID, PROFILES, STAFF, TIMELINES, TOUCHED, NODES, RECENT =
  unpack(KEYS)
local entries = redis.call('LPOP', DOOMED, ARGV[1]) or {}
local base = redis.call('HMGET', META, 'generation', 'flipped')

-- Since the new answer is visible a batch may have found out otherwise.
local function is_otherwise(field)
  return redis.call('SISMEMBER', TOUCHED, 's' .. field) == 1
end

local function is_back(key)
  return redis.call('HEXISTS', NODES, key) == 1
end

local function forget_facts(key, field)
  local record = redis.call('HGET', key, field)
  if not record then return end
  drop(TIMELINES, facts.chunks(facts.parse(record)))
  redis.call('HDEL', key, field)
end

for _, entry in ipairs(entries) do
  local what, rest = string.sub(entry, 1, 1), string.sub(entry, 2)
  if what == 's' then
    redis.call('HDEL', SLOTS, rest)
    forget_facts(PROFILES, rest)
  end
  if what == 'c' then redis.call('HDEL', CHUNKS, rest) end
  if what == 'l' then
    redis.call('HDEL', LINKS, rest)
    redis.call('HDEL', RECENT, rest, rest .. '-')
    forget_facts(SAID, rest)
    redis.call('HDEL', SUSPENDED, rest)
  end
  if what == 'g' then redis.call('HDEL', SYNONYMS, rest) end
  if what == 'p' then redis.call('HSET', PENDING, string.sub(rest, 1, 16), string.sub(rest, 17)) end
  if what == 'g' or (what == 'v' and not is_back(rest)) then redis.call('HDEL', STAFF, rest) end
  if what == 'g' or (what == 'v' and not is_back(rest)) then redis.call('HDEL', HISTORY_KEY, rest) end
  if what == '-' and not is_otherwise(rest) then redis.call('HDEL', SUSPENDED, rest) end
  if what == '+' then
    local length = string.byte(rest)
    local field = string.sub(rest, 2, 1 + length)
    if not is_otherwise(field) then redis.call('HSET', SUSPENDED, field, string.sub(rest, 2 + length)) end
  end
  if what == 'h' then
    local at, key = struct.unpack('>I4', rest), string.sub(rest, 5, 20)
    local cause = string.sub(rest, 42)
    local change = string.sub(rest, 21, 41) .. struct.pack('>I8I8I2', tonumber(base[1]), tonumber(base[2]) + at, #cause) .. cause
    redis.call('HSET', HISTORY_KEY, key, history_record(redis.call('HGET', HISTORY_KEY, key) or '', {change}))
  end
end
return #entries
