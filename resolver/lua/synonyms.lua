-- Synonyms: HASH identifier key -> 16 bytes key of the former id that is one with it. An alias names a former id without its
-- type; it is one with the user id and the anonymous id of the same value, if an event ever names them. Written when the
-- alias is new; asked only for identifiers that are new.
local synonyms, new_synonyms = {}, {} -- key -> array of keys; key -> key of a former id

local function learn_synonym(former, other)
  synonyms[former] = synonyms[former] or {}
  table.insert(synonyms[former], other)
  synonyms[other] = {former}
  new_synonyms[other] = former
end

local function load_synonyms(links, new_keys)
  local known = has_synonyms and fetch(SYNONYMS, new_keys) or {}
  for i, key in ipairs(new_keys) do synonyms[key] = known[i] and {known[i]} or nil end
  for i = 1, #links do
    for _, pair in ipairs(links[i].pairs) do
      if not new_synonyms[pair[2]] and nodes[pair[1]] == false then learn_synonym(pair[1], pair[2]) end
    end
  end
  local others = {}
  for _, keys in pairs(synonyms) do
    for _, key in ipairs(keys) do others[#others + 1] = key end
  end
  read_nodes(others)
end

local function load_nodes(links)
  local named = {}
  for i = 1, #links do
    for _, key in ipairs(links[i].keys) do named[#named + 1] = key end
  end
  load_synonyms(links, read_nodes(named))
end
