-- Whole hashes at a time: one HMGET per kind of key for the batch, one HSET at its end.
--
-- fetch(key, fields)  -> array of values aligned with fields, false where there is none
-- save(key, records)  writes {field = value}, and says nothing to Redis when it is empty
-- save_pairs(key, pairs_of)  the same of an array {field, value, ...}
-- drop(key, fields)   deletes an array of fields, likewise
--
-- `unpack` fails near 8,000 values, so both go in steps of 6,000. Cost: linear in the fields named.
local STEP = 6000

local function fetch(key, fields)
  local n = #fields
  if n == 0 then return {} end
  if n <= STEP then return redis.call('HMGET', key, unpack(fields)) end
  local values = {}
  for first = 1, n, STEP do
    local part = redis.call('HMGET', key, unpack(fields, first, math.min(first + STEP - 1, n)))
    for i = 1, #part do values[first + i - 1] = part[i] end
  end
  return values
end

local function save_pairs(key, pairs_of)
  for first = 1, #pairs_of, STEP do
    redis.call('HSET', key, unpack(pairs_of, first, math.min(first + STEP - 1, #pairs_of)))
  end
end

local function save(key, records)
  local pairs_of, n = {}, 0
  for field, value in pairs(records) do
    pairs_of[n + 1], pairs_of[n + 2] = field, value
    n = n + 2
  end
  save_pairs(key, pairs_of)
end

local function drop(key, fields)
  for first = 1, #fields, STEP do
    redis.call('HDEL', key, unpack(fields, first, math.min(first + STEP - 1, #fields)))
  end
end
