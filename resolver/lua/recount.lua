-- recount: identifiers that stand as before are told what they count under other rules.
--
-- KEYS   1 meta 2 nodes 3 quarantine (HASH each)
-- ARGV   1 version of the rules that this was computed under, then, for each identifier: key, node record and quarantine
--        record that this was computed from ('' for none), new node record, new quarantine record ('' for none)
-- Reply  {key, ...}: those whose records have changed meanwhile, and which were left as they are
--        or nil: the rules in force are others; nothing was changed
-- Cost   linear in the arguments
local META, NODES, QUARANTINE = unpack(KEYS)
if redis.call('HGET', META, 'rules') ~= ARGV[1] then return false end
local missed = {}
for i = 2, #ARGV, 5 do
  local key, node, crossed = ARGV[i], ARGV[i + 3], ARGV[i + 4]
  local is_same = (redis.call('HGET', NODES, key) or '') == ARGV[i + 1]
    and (redis.call('HGET', QUARANTINE, key) or '') == ARGV[i + 2]
  if not is_same then
    missed[#missed + 1] = key
  else
    redis.call('HSET', NODES, key, node)
    if crossed == '' then redis.call('HDEL', QUARANTINE, key) else redis.call('HSET', QUARANTINE, key, crossed) end
  end
end
return missed
