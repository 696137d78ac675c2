-- profiles_page: some of the entities, each with what is known of it, all as of one number.
--
-- It walks the identifiers and gives an entity where it meets the senior one, since records move between slots in a merge.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta 6 profiles 7 unsummed 8 timelines (HASH each)
-- ARGV   1 cursor of HSCAN  2 about how many identifiers
-- Reply  {next cursor, {generation, number, now}, steps, slot record, profile record, ...}
-- Cost   linear in the page and in what is known of its entities
facts.TIMELINES = KEYS[8]
local page = redis.call('HSCAN', NODES, ARGV[1], 'COUNT', ARGV[2])
local keys, records, met = {}, {}, {}
for i = 1, #page[2], 2 do
  keys[#keys + 1], records[#records + 1] = page[2][i], page[2][i + 1]
end
for i, slot in ipairs(places(keys, records)) do
  if slot and parse_slot(entities[slot]).senior == keys[i] then met[#met + 1] = slot end
end
local reply = {page[1], redis.call('HMGET', META, 'generation', 'number', 'now'), steps}
local known = profiles_of(met)
for i, slot in ipairs(met) do
  if known[i] then reply[#reply + 1], reply[#reply + 2] = entities[slot], facts.whole_record(known[i], true) end
end
return reply
