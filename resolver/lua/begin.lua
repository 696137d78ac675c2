-- begin: a restructuring in bounded calls begins, or goes on where one ended before its time.
--
-- KEYS   1 meta 2 unsettled (HASH each)  3 touched (SET)  4 moving (HASH)  5 staged 6 doomed (LIST each)
-- Reply  {'visible'}: the new answer is visible, and nodes are to be told of it
--        {'beside'}: there are identifiers to be settled; whatever was prepared is void
--        {'nothing'}: there are none
-- Cost   linear in what was prepared
local META, UNSETTLED, TOUCHED, MOVING, STAGED, DOOMED = unpack(KEYS)
if redis.call('HGET', META, 'job') == 'visible' then return {'visible'} end
redis.call('UNLINK', TOUCHED, MOVING, STAGED, DOOMED)
if redis.call('HLEN', UNSETTLED) == 0 then
  redis.call('HDEL', META, 'job')
  return {'nothing'}
end
redis.call('HSET', META, 'job', 'beside')
return {'beside'}
