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
    local others = not nodes[key] and synonyms[key] or ''
    for i = 1, #others, 16 do see(string.sub(others, i, i + 15)) end
  end
  if #homes > 1 then table.sort(homes, older) end
  return homes
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
