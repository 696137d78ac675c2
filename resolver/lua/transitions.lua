-- What the batch did, for the outbox.
--
-- A transition: 1 byte kind, 2 bytes length + log position, 1 byte entity type, 16 bytes key of the entity id, then
--   1 created       1 byte count, count times: 16 bytes key, 2 bytes length + name
--   2 added         16 bytes key, 2 bytes length + name
--   3 merged        16 bytes key of the absorbed id, 4 bytes identifiers moved
--   4 relabelled    16 bytes key of the former id
local made, n_made = {}, 0

local function emit(kind, link, entity_key, rest)
  n_made = n_made + 1
  made[n_made] = struct.pack('>BI2', kind, #link.position) .. link.position .. link.entity_type .. entity_key .. rest
end

local function emit_created(link)
  emit(1, link, link.keys[1], link.listed)
end

local function emit_added(link, entity_key, i)
  emit(2, link, entity_key, link.keys[i] .. struct.pack('>I2', #link.names[i]) .. link.names[i])
end

local function emit_merged(link, entity_key, absorbed_key, moved)
  emit(3, link, entity_key, absorbed_key .. struct.pack('>I4', moved))
  remember(3, link, entity_key, absorbed_key, moved, number + n_made)
  remember(5, link, absorbed_key, entity_key, moved, number + n_made)
end

local function emit_relabelled(link, entity_key, former_key)
  emit(4, link, entity_key, former_key)
  remember(4, link, entity_key, former_key, 0, number + n_made)
  remember(6, link, former_key, entity_key, 0, number + n_made)
end
