-- Synonyms: HASH identifier key -> 16 bytes key of each identifier that is one with it. An alias names a former id without
-- its type; it is one with the user id and the anonymous id of the same value, if an event ever names them. Written, from
-- both sides, when the alias is new; asked for identifiers that are new, and for those that are resolved anew.
local synonyms, new_synonyms = {}, {} -- key -> array of keys, or false; key -> record

local read_synonyms, load_nodes
do
  local function learn_synonym(former, other)
    synonyms[former] = synonyms[former] or {}
    table.insert(synonyms[former], other)
    synonyms[other] = {former}
    new_synonyms[other], new_synonyms[former] = former, table.concat(synonyms[former])
  end

  read_synonyms = function(keys)
    if not has_synonyms then return end
    local wanted = {}
    for _, key in ipairs(keys) do
      if synonyms[key] == nil then
        synonyms[key] = false
        wanted[#wanted + 1] = key
      end
    end
    local records = fetch(SYNONYMS, wanted)
    for i, key in ipairs(wanted) do
      local others = {}
      for at = 1, records[i] and #records[i] or 0, 16 do others[#others + 1] = string.sub(records[i], at, at + 15) end
      synonyms[key] = others
    end
  end

  local function load_synonyms(links, new_keys)
    read_synonyms(new_keys)
    for i = 1, #links do
      for _, pair in ipairs(links[i].pairs) do
        if not new_synonyms[pair[2]] and nodes[pair[1]] == false then learn_synonym(pair[1], pair[2]) end
      end
    end
    local others = {}
    for _, keys in pairs(synonyms) do
      for _, key in ipairs(keys or {}) do others[#others + 1] = key end
    end
    read_nodes(others)
  end

  load_nodes = function(links)
    local named = {}
    for i = 1, #links do
      for _, key in ipairs(links[i].keys) do named[#named + 1] = key end
    end
    load_synonyms(links, read_nodes(named))
    read_marks(named)
    read_quarantine(named)
    return named
  end
end
