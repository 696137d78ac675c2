-- replace: an entry of the outbox is kept redacted beside it; or one that is, redacted further.
--
-- KEYS   1 outbox (STREAM)  2 redacted (HASH)
-- ARGV   1 entry id  2 its instant and its transitions, a line each
-- Reply  1, or 0 and nothing done when it is published already
-- Cost   constant
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
