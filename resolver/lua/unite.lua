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

local function move(from, to)
  local entity, gone = slots[to], slots[from]
  entity.size = entity.size + gone.size
  if gone.older == 0 then
    entity.members, entity.older = append(entity.members, entity.older, gone.members)
  else
    entity.older = new_chunk(entity.older, gone.older, gone.members)
  end
  slots[from] = {moved_to = to}
  dirty_slots[from], dirty_slots[to] = true, true
end
