-- What one link does to the entities that its identifiers belong to.
local function older(a, b)
  return senior(slots[a].position, slots[a].senior, slots[b].position, slots[b].senior)
end

-- Only the identifiers in the graph count.
local function effective(link)
  local keys = {}
  for _, key in ipairs(link.keys) do
    if in_graph(nodes[key]) then keys[#keys + 1] = key end
  end
  return keys
end

local function entities_of(keys)
  local homes, seen = {}, {}
  local function see(key)
    local slot = in_graph(nodes[key]) and nodes[key].slot or 0
    if slot ~= 0 and not seen[home(slot)] then
      seen[home(slot)] = true
      homes[#homes + 1] = home(slot)
    end
  end
  for _, key in ipairs(keys) do
    see(key)
    if not nodes[key] or nodes[key].slot == 0 then
      for _, other in ipairs(synonyms[key] or {}) do see(other) end
    end
  end
  if #homes > 1 then table.sort(homes, older) end
  return homes
end

-- Reads the nodes of the small entities that are about to be merged, so that they can be carried over.
local function merges(link)
  local first
  local function is_second(key)
    local node = nodes[key]
    local slot = node and node.slot ~= 0 and home(node.slot)
    if slot and first and slot ~= first then return true end
    first = first or slot
  end
  for _, key in ipairs(link.keys) do
    if is_second(key) then return true end
    for _, other in ipairs(not nodes[key] and synonyms[key] or {}) do
      if is_second(other) then return true end
    end
  end
end

load_small = function(links)
  local keys = {}
  for _, link in ipairs(links) do
    for _, slot in ipairs(merges(link) and entities_of(link.keys) or {}) do
      local entity = slots[slot]
      local length = entity.older == 0 and #entity.members <= SMALL and #entity.members or 0
      for at = 1, length, 16 do keys[#keys + 1] = string.sub(entity.members, at, at + 15) end
    end
  end
  read_nodes(keys)
end

local function merge(link, homes)
  local host, oldest = homes[1], slots[homes[1]]
  local id, position = oldest.senior, oldest.position
  for i = 2, #homes do
    tell.merged(link, id, slots[homes[i]].senior, slots[homes[i]].size)
    if slots[homes[i]].size > slots[host].size then host = homes[i] end
  end
  for _, slot in ipairs(homes) do
    if slot ~= host then move(slot, host, link) end
  end
  slots[host].senior, slots[host].position = id, position
  return host
end

local function relabel(link, slot, key)
  local entity = slots[slot]
  if senior(link.position, key, entity.position, entity.senior) then
    if entity.senior ~= key then tell.relabelled(link, key, entity.senior) end
    entity.senior, entity.position = key, link.position
    dirty_slots[slot] = true
  end
end
