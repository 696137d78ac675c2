-- watch: from now on it is noted what comes to some links (`watched`).
--
-- KEYS   1 watched 2 meta 3 offsets (HASH each)
-- ARGV   1 seconds after which all of it is forgotten, 2... link handles
-- Reply  {generation, number, now ('' for none), version of the rules, then field and offset of each partition in turn}
-- Cost   linear in the handles and in the partitions
local WATCHED, META, OFFSETS = unpack(KEYS)
for i = 2, #ARGV do redis.call('HSETNX', WATCHED, ARGV[i], '') end
if #ARGV > 1 then redis.call('EXPIRE', WATCHED, ARGV[1]) end
local meta = redis.call('HMGET', META, 'generation', 'number', 'now', 'rules')
local reply = {meta[1], meta[2], meta[3] or '', meta[4]}
for _, part in ipairs(redis.call('HGETALL', OFFSETS)) do reply[#reply + 1] = part end
return reply
