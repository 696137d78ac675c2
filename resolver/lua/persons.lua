-- The persons of a group, as they know it.
--
-- members_of_group(senior, keys, most) -> of each membership in turn: the person's senior key, role as in `facts`, since
--   when, until when or 0; and whether these are all. `senior` and `keys` are those of the group, `most` how many links of
--   persons are looked at.
-- Cost   linear in the links of persons, and in what is known of these

-- The links of persons that say of a group of one of these names that somebody is in it.
local function links_of_persons(keys, most)
  local handles, seen, is_all = {}, {}, true
  for _, record in ipairs(fetch(STAFF, keys)) do
    local found, is_whole = {}, true
    if record then found, is_whole = first_of(string.sub(record, 5), (struct.unpack('>I4', record)), most - #handles) end
    is_all = is_all and is_whole
    for _, handle in ipairs(found) do
      if not seen[handle] then
        seen[handle] = true
        handles[#handles + 1] = handle
      end
    end
  end
  return handles, is_all
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

local function members_of_group(senior, keys, most)
  local handles, is_all = links_of_persons(keys, most)
  local found, persons = {}, persons_of(handles)
  for i, record in ipairs(profiles_of(persons)) do
    for name, one in pairs(record and facts.parse(record).known or {}) do
      if now_called(string.sub(name, 1, 16)) == senior then
        local n = #found
        found[n + 1], found[n + 2] = parse_slot(entities[persons[i]]).senior, string.sub(name, 17)
        found[n + 3], found[n + 4] = one.since, one.ended or 0
      end
    end
  end
  return found, is_all
end
