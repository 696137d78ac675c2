-- unlock: lets the publisher's lock go, if it is still held.
--
-- KEYS   1 lock (STRING)
-- ARGV   1 token
-- Reply  1 let go, 0 it was somebody else's
-- Cost   constant
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
