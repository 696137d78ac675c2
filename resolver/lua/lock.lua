-- lock: takes or renews the publisher's lock.
--
-- KEYS   1 lock (STRING)
-- ARGV   1 token  2 time to live, ms
-- Reply  1 held, 0 somebody else holds it
-- Cost   constant
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
