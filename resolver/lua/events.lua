-- events: the last events of an entity, as its links keep them.
--
-- KEYS   1 nodes 2 slots 3 chunks 4 moving 5 meta 6 profiles 7 unsummed 8 said 9 staff 10 links 11 recent (HASH each)
-- ARGV   1 identifier key  2 most identifiers of the entity, and most of their links, that are looked at
-- Reply  false when no entity has it, or {1 if these are all that there are, else 0, then of each link with recent events:
--          its records (`recent`) as one, and {identifier key, node record, '1' if it is this entity's or '', ... of each identifier
--          in the graph}, empty where all of them are this entity's}
-- Cost   linear in the identifiers and links that are looked at
local LINKS, RECENT, most = KEYS[10], KEYS[11], tonumber(ARGV[2])
local slot = places({ARGV[1]}, {redis.call('HGET', NODES, ARGV[1])})[1]
if not slot then return false end

local function links_of(keys)
  local handles, seen, is_all = {}, {}, true
  for i, record in ipairs(fetch(NODES, keys)) do
    local node = parse_node(keys[i], record)
    local found, is_whole = first_of(node.links, node.older, most - #handles)
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

-- A link's identifiers in the graph, if some are of other entities: then one of them is its anchor, which Python knows.
local function in_question(keys)
  local records, found, is_shared = fetch(NODES, keys), {}, false
  for i, at in ipairs(places(keys, records)) do
    is_shared = is_shared or (at and at ~= slot)
    local n = #found
    if at then found[n + 1], found[n + 2], found[n + 3] = keys[i], records[i], at == slot and '1' or '' end
  end
  return is_shared and found or {}
end

local function keys_of(handle, record)
  local keys = {}
  for at = 9 + struct.unpack('>I2', record, 7), #record, 16 do keys[#keys + 1] = string.sub(record, at, at + 15) end
  return #keys > 0 and keys or {handle}
end

local entity = parse_slot(entities[slot])
local members, is_whole = first_of(entity.members, entity.older, most)
local handles, is_all = links_of(members)
local lately, links, fields = fetch(RECENT, handles), fetch(LINKS, handles), {}
for i, handle in ipairs(handles) do fields[i] = handle .. '-' end
local before_that = fetch(RECENT, fields)
local reply = {is_whole and is_all and 1 or 0}
for i, handle in ipairs(handles) do
  if links[i] and (lately[i] or before_that[i]) then
    reply[#reply + 1] = (before_that[i] or '') .. (lately[i] or '')
    reply[#reply + 1] = in_question(keys_of(handle, links[i]))
  end
end
return reply
