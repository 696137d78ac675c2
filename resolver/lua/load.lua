-- Reads what the new links name: their nodes, the synonyms of those, and the slots that lead to their entities.
--
-- Synonyms: HASH identifier key -> 16 bytes for each synonym. An alias names a former id without its type; the former id
-- is one with the user id and the anonymous id of the same value, if an event ever names them. Written when the alias is
-- new; asked only for identifiers that are new.
local nodes, slots, synonyms, new_synonyms = {}, {}, {}, {}
local read_nodes

local function learn_synonym(key, other)
  for _, pair in ipairs({{key, other}, {other, key}}) do
    local known = synonyms[pair[1]] or ''
    synonyms[pair[1]] = known .. pair[2]
    new_synonyms[pair[1]] = synonyms[pair[1]]
  end
end

local function load_synonyms(links, new_keys)
  local pairs_of = {}
  for i = 1, #links do
    for _, pair in ipairs(links[i].pairs) do
      if nodes[pair[1]] == false then pairs_of[pair[1] .. pair[2]] = pair end
    end
  end
  if has_synonyms then
    local records = fetch(SYNONYMS, new_keys)
    for i, key in ipairs(new_keys) do synonyms[key] = records[i] or nil end
  end
  local others = {}
  for _, pair in pairs(pairs_of) do
    learn_synonym(pair[1], pair[2])
    others[#others + 1] = pair[2]
  end
  for _, known in pairs(synonyms) do
    for i = 1, #known, 16 do others[#others + 1] = string.sub(known, i, i + 15) end
  end
  read_nodes(others)
end

function read_nodes(keys)
  local wanted, new, n = {}, {}, 0
  for _, key in ipairs(keys) do
    if nodes[key] == nil then
      nodes[key] = false
      n = n + 1
      wanted[n] = key
    end
  end
  local records = fetch(NODES, wanted)
  for i = 1, n do
    nodes[wanted[i]] = records[i] and parse_node(records[i])
    if not records[i] then new[#new + 1] = wanted[i] end
  end
  return new
end

local function load_nodes(links)
  local named = {}
  for i = 1, #links do
    for _, key in ipairs(links[i].keys) do named[#named + 1] = key end
  end
  load_synonyms(links, read_nodes(named))
end

local function load_slots()
  local wanted = {}
  local function want(slot)
    if not slots[slot] then
      slots[slot] = true
      wanted[#wanted + 1] = slot
    end
  end
  for _, node in pairs(nodes) do
    if node then want(node.slot) end
  end
  while #wanted > 0 do
    local asked = wanted
    wanted = {}
    local records = fetch(SLOTS, asked)
    for i, slot in ipairs(asked) do
      slots[slot] = parse_slot(records[i])
      if slots[slot].moved_to then want(slots[slot].moved_to) end
    end
  end
end
