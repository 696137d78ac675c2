-- What the batch did, for the outbox and for the history of the entities concerned.
--
-- A transition: 1 byte kind, 1 byte entity type, 16 bytes key of the entity id, 2 bytes length + log position, then
--   1 created       1 byte count, count times: 16 bytes key, 2 bytes length + name
--   2 added         16 bytes key, 2 bytes length + name
--   3 merged        16 bytes key of the absorbed id, 4 bytes identifiers moved
--   4 relabelled    16 bytes key of the former id
-- History entry: 1 byte what (3 absorbed, 4 renamed, 5 was absorbed, 6 was renamed), 16 bytes key of the other id,
--   4 bytes identifiers moved, 8 bytes generation, 8 bytes number, 2 bytes length + log position.
local made, n_made = {}, 0
local remembered = {}

local function emit(kind, link, entity_key, rest)
  n_made = n_made + 1
  made[n_made] = struct.pack('>BI2', kind, #link.position) .. link.position .. link.entity_type .. entity_key .. rest
end

local function remember(what, link, key, other, moved)
  local entry = struct.pack('>B', what) .. other
    .. struct.pack('>I4I8I8I2', moved, tonumber(generation), number + n_made, #link.position) .. link.position
  remembered[key] = remembered[key] or {}
  table.insert(remembered[key], entry)
end

local function emit_created(link)
  emit(1, link, link.keys[1], link.listed)
end

local function emit_added(link, entity_key, i)
  emit(2, link, entity_key, link.keys[i] .. struct.pack('>I2', #link.names[i]) .. link.names[i])
end

local function emit_merged(link, entity_key, absorbed_key, moved)
  emit(3, link, entity_key, absorbed_key .. struct.pack('>I4', moved))
  remember(3, link, entity_key, absorbed_key, moved)
  remember(5, link, absorbed_key, entity_key, moved)
end

local function emit_relabelled(link, entity_key, former_key)
  emit(4, link, entity_key, former_key)
  remember(4, link, entity_key, former_key, 0)
  remember(6, link, former_key, entity_key, 0)
end
