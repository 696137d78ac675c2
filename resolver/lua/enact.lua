-- enact: other rules come into force, together with the offset of the operator event that brings them.
--
-- KEYS   1 meta 2 offsets 3 pending (HASH each)
-- ARGV   1 version of the rules in force, as far as the caller knows  2 version of the others  3 the others as JSON
--        4 log position of the operator event, in hex  5 partition field  6 offset expected ('' for none)  7 next offset
--        8 number of things that only the log can tell from now on, then these: fields of pending; then those that are
--        no longer to be told
-- Reply  {'applied'}
--        {'fenced', field, offset}   what the offset is ('' for none); nothing was changed
--        {'rules', version}          the rules in force are others; nothing was changed
-- Cost   linear in the rules
--
-- `rescan` has the rules that were in force before, length, ':' and JSON each, until everything that the change concerns
-- is settled (`resolver/rescan.py`). Of several such events the one of highest position counts: it is in `rules_at`.
-- `rules_by` is the one that brought the rules in force: the cause of all that they change.
local META, OFFSETS, PENDING = unpack(KEYS)
local offset = redis.call('HGET', OFFSETS, ARGV[5]) or ''
if offset ~= ARGV[6] then return {'fenced', ARGV[5], offset} end
local meta = redis.call('HMGET', META, 'rules', 'rules_json', 'rules_at', 'rescan')
if meta[1] ~= ARGV[1] then return {'rules', meta[1] or ''} end
redis.call('HLEN', PENDING)
redis.call('HSET', OFFSETS, ARGV[5], ARGV[7])
if meta[3] and not before(meta[3], ARGV[4]) then return {'applied'} end
redis.call('HSET', META, 'rules_at', ARGV[4])
if ARGV[1] == ARGV[2] then return {'applied'} end
local rescan = (meta[4] or '') .. #meta[2] .. ':' .. meta[2]
redis.call('HSET', META, 'rules_by', ARGV[4], 'rules', ARGV[2], 'rules_json', ARGV[3], 'rescan', rescan, 'rescanned', 0)
local new = tonumber(ARGV[8])
for i = 9, 8 + new do redis.call('HSET', PENDING, ARGV[i], 'r' .. ARGV[4]) end
for i = 9 + new, #ARGV do redis.call('HDEL', PENDING, ARGV[i]) end
return {'applied'}
