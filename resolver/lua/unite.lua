-- The moving union-find. A node points to a slot; a slot holds an entity or points to the slot it moved to, so a merge
-- is one pointer, of the smaller entity to the larger (union by size: paths stay below log2 of the entity). Member and
-- link lists keep their last 32 entries in the record and the rest in chunks that form a binary tree, so that to append
-- and to concatenate cost the same whatever the length.
--
-- Chunk record: 4 bytes left chunk, 4 bytes right chunk (0: none), 16 bytes for each entry.
local RECENT = 32 * 16
local dirty_nodes, dirty_slots, chunks = {}, {}, {}

local function new_chunk(left, right, entries)
  last_chunk = last_chunk + 1
  chunks[last_chunk] = struct.pack('>I4I4', left, right) .. entries
  return last_chunk
end

local function append(recent, older, entries)
  if #recent + #entries <= RECENT then return recent .. entries, older end
  return entries, new_chunk(older, 0, recent)
end

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
