-- What one link does to the entities that its identifiers belong to.
local function older(a, b)
  return senior(slots[a].position, slots[a].senior, slots[b].position, slots[b].senior)
end

local function entities_of(link)
  local homes, seen = {}, {}
  local function see(key)
    local slot = nodes[key] and home(nodes[key].slot)
    if slot and not seen[slot] then
      seen[slot] = true
      homes[#homes + 1] = slot
    end
  end
  for _, key in ipairs(link.keys) do
    see(key)
    if not nodes[key] then
      for _, other in ipairs(synonyms[key] or {}) do see(other) end
    end
  end
  if #homes > 1 then table.sort(homes, older) end
  return homes
end

-- Reads the nodes of the small entities that are about to be merged, so that they can be carried over.
local function merges(link)
  local first
  for i = 1, #link.keys do
    local node = nodes[link.keys[i]]
    local slot = node and home(node.slot)
    if slot and first and slot ~= first then return true end
    first = first or slot
  end
  return false
end

local function load_small(links)
  local keys = {}
  for _, link in ipairs(links) do
    for _, slot in ipairs(merges(link) and entities_of(link) or {}) do
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
    emit_merged(link, id, slots[homes[i]].senior, slots[homes[i]].size)
    if slots[homes[i]].size > slots[host].size then host = homes[i] end
  end
  for _, slot in ipairs(homes) do
    if slot ~= host then move(slot, host) end
  end
  slots[host].senior, slots[host].position = id, position
  return host
end

local function relabel(link, slot)
  local entity = slots[slot]
  if senior(link.position, link.keys[1], entity.position, entity.senior) then
    if entity.senior ~= link.keys[1] then emit_relabelled(link, link.keys[1], entity.senior) end
    entity.senior, entity.position = link.keys[1], link.position
    dirty_slots[slot] = true
  end
end

local function attach(link, slot)
  for i, key in ipairs(link.keys) do
    local node = nodes[key]
    node.slot = slot -- compresses the path of a node that is written anyway
    node.links, node.older = append(node.links, node.older, link.handle)
    dirty_nodes[key] = true
  end
end
