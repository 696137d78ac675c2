-- open: makes the namespace if there is none, and says what it is.
--
-- KEYS   1 meta (HASH)
-- ARGV   1 schema version  2 fingerprint of the secret  3 version of the rules  4 the rules as JSON
-- Reply  {schema version, fingerprint, version of the rules in force}
-- Cost   constant
--
-- A first generation is the store's clock in seconds, so that a store that was emptied does not number its transitions
-- like the one before it.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'schema', ARGV[1], 'secret', ARGV[2], 'generation', redis.call('TIME')[1],
    'number', '0', 'slot', '0', 'chunk', '0', 'pending', '0', 'rules', ARGV[3], 'rules_json', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'schema', 'secret', 'rules')
