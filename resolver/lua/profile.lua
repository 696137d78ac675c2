-- profile: the entity that holds an identifier, with what is known of it, all as of one number.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta 6 profiles 7 unsummed 8 said 9 staff (HASH each)
-- ARGV   1 identifier key  2 most members wanted, of a group also most links of persons that are looked at
-- Reply  false when no entity has it, or {
--          {generation, number, now}, steps, slot record, profile record or '',
--          {identifier key, node record, ... of each member},
--          {person's senior key, role as in `facts`, since when, until when or 0, ... of each membership of a group},
--          1 if these are all that there are, else 0}
-- Cost   linear in what is returned, and in what is known of the persons of a group
local most = tonumber(ARGV[2])
local slot = places({ARGV[1]}, {redis.call('HGET', NODES, ARGV[1])})[1]
if not slot then return false end
local entity = parse_slot(entities[slot])
local keys, is_all = listed(entity.members, entity.older, most)

-- The links of persons that say of a group of one of these names that somebody is in it.
local function links_of_persons()
  local handles, seen = {}, {}
  for _, record in ipairs(fetch(STAFF, keys)) do
    local found, is_whole = {}, true
    if record then found, is_whole = listed(string.sub(record, 5), (struct.unpack('>I4', record)), most - #handles) end
    is_all = is_all and is_whole
    for _, handle in ipairs(found) do
      if not seen[handle] then
        seen[handle] = true
        handles[#handles + 1] = handle
      end
    end
  end
  return handles
end

-- The slots of the entities of everybody whom these links name: what is known of a person says which groups it is in.
local function persons_of(handles)
  local keys, persons, seen = {}, {}, {}
  for _, record in ipairs(fetch(SAID, handles)) do
    for at = 2, record and 1 + 16 * string.byte(record) or 0, 16 do keys[#keys + 1] = string.sub(record, at, at + 15) end
  end
  for _, slot in ipairs(places(keys, fetch(NODES, keys))) do
    if slot and not seen[slot] then
      seen[slot] = true
      persons[#persons + 1] = slot
    end
  end
  return persons
end

local function now_called(id)
  for at = 1, #steps, 32 do
    if string.sub(steps, at, at + 15) == id then id = string.sub(steps, at + 16, at + 31) end
  end
  return id
end

local function members_of_group()
  local found, persons = {}, persons_of(links_of_persons())
  for i, record in ipairs(profiles_of(persons)) do
    for name, one in pairs(record and facts.parse(record).known or {}) do
      if now_called(string.sub(name, 1, 16)) == entity.senior then
        local n = #found
        found[n + 1], found[n + 2] = parse_slot(entities[persons[i]]).senior, string.sub(name, 17)
        found[n + 3], found[n + 4] = one.since, one.ended or 0
      end
    end
  end
  return found
end

local belonging = entity.entity_type == 'g' and members_of_group() or {}
local members, records = {}, fetch(NODES, keys)
for i = 1, #keys do
  members[2 * i - 1], members[2 * i] = keys[i], records[i]
end
return {redis.call('HMGET', META, 'generation', 'number', 'now'), steps, entities[slot],
  profiles_of({slot})[1] or '', members, belonging, is_all and 1 or 0}
