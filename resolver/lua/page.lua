-- page: some of the identifiers in the graph, each with the id of its entity, all as of one number.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta (HASH each)
-- ARGV   1 cursor of HSCAN  2 about how many
-- Reply  {next cursor, generation, number, identifier key, node record, entity type and senior key (17 bytes), ...}
-- Cost   linear in the page
local page = redis.call('HSCAN', NODES, ARGV[1], 'COUNT', ARGV[2])
local keys, records = {}, {}
for i = 1, #page[2], 2 do
  keys[#keys + 1], records[#records + 1] = page[2][i], page[2][i + 1]
end
local meta = redis.call('HMGET', META, 'generation', 'number')
local reply = {page[1], meta[1], meta[2]}
for i, slot in ipairs(places(keys, records)) do
  if slot then
    local entity, n = parse_slot(entities[slot]), #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = keys[i], records[i], entity.entity_type .. entity.senior
  end
end
return reply
