-- begin: a restructuring in bounded calls begins, or goes on where one ended before its time.
--
-- KEYS   1 meta 2 todo (HASH each)  3 touched (SET)  4 moving (HASH)  5 staged 6 doomed (LIST each)
-- Reply  {'visible'}: the new answer is visible, and nodes are to be told of it
--        {'beside', key, log position of the cause, ...}: identifiers to be settled; whatever was prepared is void
-- Cost   linear in the identifiers to be settled
local META, TODO, TOUCHED, MOVING, STAGED, DOOMED = unpack(KEYS)
if redis.call('HGET', META, 'job') == 'visible' then return {'visible'} end
redis.call('UNLINK', TOUCHED, MOVING, STAGED, DOOMED)
local todo = redis.call('HGETALL', TODO)
if #todo == 0 then
  redis.call('HDEL', META, 'job')
  return {'beside'}
end
redis.call('HSET', META, 'job', 'beside')
return {'beside', unpack(todo)}
