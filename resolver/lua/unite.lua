-- The moving union-find. A node points to a slot; a slot holds an entity or points to the slot it moved to, so a merge
-- is one pointer, of the smaller entity to the larger (union by size: paths stay below log2 of the entity).
local dirty_nodes, dirty_slots = {}, {}

local function home(slot)
  while slots[slot].moved_to do slot = slots[slot].moved_to end
  return slot
end

local function new_entity(link)
  last_slot = last_slot + 1
  slots[last_slot] = {entity_type = link.entity_type, size = 0, older = 0, senior = link.keys[1],
    position = link.position, members = ''}
  return last_slot
end

local function add_member(slot, key, name)
  local entity = slots[slot]
  entity.size = entity.size + 1
  entity.members, entity.older = append(entity.members, entity.older, key)
  nodes[key] = {slot = slot, older = 0, name = name, links = ''}
  dirty_slots[slot] = true
end

-- A small entity's nodes are pointed to the other slot themselves, when they are at hand: its own slot is then free, and
-- every slot that its nodes came by.
local SMALL = 8 * 16

local function carry(gone, from, to)
  if gone.older ~= 0 or #gone.members > SMALL then return false end
  for i = 1, #gone.members, 16 do
    if not nodes[string.sub(gone.members, i, i + 15)] then return false end
  end
  for i = 1, #gone.members, 16 do
    local key = string.sub(gone.members, i, i + 15)
    slots[nodes[key].slot], dirty_slots[nodes[key].slot] = nil, true
    nodes[key].slot, dirty_nodes[key] = to, true
  end
  slots[from], dirty_slots[from], dirty_slots[to] = nil, true, true
  return true
end

local function move(from, to)
  local entity, gone = slots[to], slots[from]
  entity.size = entity.size + gone.size
  if gone.older == 0 then
    entity.members, entity.older = append(entity.members, entity.older, gone.members)
  else
    entity.older = new_chunk(entity.older, gone.older, gone.members)
  end
  if carry(gone, from, to) then return end
  slots[from] = {moved_to = to}
  dirty_slots[from], dirty_slots[to] = true, true
end
