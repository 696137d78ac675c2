-- guarded: one command, if this process still is the one that restructures.
--
-- KEYS   1 worker (STRING)  2 the key of the command
-- ARGV   1 token  2 command  3.. its arguments
-- Reply  1, or 0 and nothing done
-- Cost   that of the command
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call(ARGV[2], KEYS[2], unpack(ARGV, 3))
return 1
