-- The moving union-find. A node points to a slot; a slot holds an entity or points to the slot it moved to, so a merge
-- is one pointer, of the smaller entity to the larger (union by size: paths stay below log2 of the entity).
local dirty_nodes, dirty_slots = {}, {}

local function home(slot)
  while slots[slot] and slots[slot].moved_to do slot = slots[slot].moved_to end
  return slot
end

local function new_slot(entity)
  last_slot = last_slot + 1
  slots[last_slot], dirty_slots[last_slot] = entity, true
  return last_slot
end

-- What an entity may not be united with: the values of unique types that it holds, and whether it is to be apart.
local function note(entity, key)
  local kind = has_unique and type_of(nodes[key].name)
  if kind and unique_rank[kind] then
    entity.values = entity.values or {}
    entity.values[kind] = key
  end
  if marked(key, 'a') then entity.apart = true end
end

local function add_member(slot, key)
  local entity = slots[slot]
  entity.size = entity.size + 1
  entity.members, entity.older = append(entity.members, entity.older, key)
  nodes[key].slot, dirty_nodes[key], dirty_slots[slot] = slot, true, true
  note(entity, key)
end

-- A small entity's nodes are pointed to the other slot themselves, when they are at hand: its own slot is then free, and
-- every slot that its nodes came by.
local SMALL = 8 * 16

local function carry(gone, from, to)
  if gone.older ~= 0 or #gone.members > SMALL or gone.job then return false end
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

local function move(from, to, cause)
  local entity, gone = slots[to], slots[from]
  profiles.move(from, to, gone, cause)
  entity.size = entity.size + gone.size
  entity.apart, entity.tied, entity.job = entity.apart or gone.apart, entity.tied or gone.tied, entity.job or gone.job
  for kind, key in pairs(gone.values or {}) do
    entity.values = entity.values or {}
    entity.values[kind] = key
  end
  if gone.older == 0 then
    entity.members, entity.older = append(entity.members, entity.older, gone.members)
  else
    entity.older = new_chunk(entity.older, gone.older, gone.members)
  end
  if carry(gone, from, to) then return end
  slots[from] = {moved_to = to}
  dirty_slots[from], dirty_slots[to] = true, true
end
