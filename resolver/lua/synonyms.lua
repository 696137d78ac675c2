-- Synonyms: HASH identifier key -> 16 bytes for each synonym. An alias names a former id without its type; the former id
-- is one with the user id and the anonymous id of the same value, if an event ever names them. Written when the alias is
-- new; asked only for identifiers that are new.
local synonyms, new_synonyms = {}, {}

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

local function load_nodes(links)
  local named = {}
  for i = 1, #links do
    for _, key in ipairs(links[i].keys) do named[#named + 1] = key end
  end
  load_synonyms(links, read_nodes(named))
end
