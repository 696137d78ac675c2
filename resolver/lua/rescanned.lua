-- rescanned: everything that a change of the rules concerns is settled.
--
-- KEYS   1 meta (HASH)
-- ARGV   1 version of the rules  2 those that were in force before, as `rescan` had them when the scan began
-- Reply  1, or 0: the rules have changed again meanwhile
-- Cost   linear in the rules
local meta = redis.call('HMGET', KEYS[1], 'rules', 'rescan')
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'rescan')
return 1
