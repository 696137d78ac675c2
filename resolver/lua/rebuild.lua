-- The entities that come out, and what is told of it: see docs/consuming.md for the order of the transitions.
--
-- A part is an entity as it is now. Its pieces are what it has of each entity that was; a piece is called after its own
-- oldest identifier.
local parts, part_of, pieces_of = {}, {}, {} -- array; root -> part; slot -> array of pieces
local age = {}                               -- key -> its oldest link

local function take_ages()
  for _, link in ipairs(region_links) do
    for _, key in ipairs(link.keys) do
      local known = age[key]
      if not known or link.first_ms < known.first_ms
        or (link.first_ms == known.first_ms and before(link.position, known.position)) then age[key] = link end
    end
  end
end

local function is_senior(a, b)
  if age[a].first_ms ~= age[b].first_ms then return age[a].first_ms < age[b].first_ms end
  return senior(age[a].position, a, age[b].position, b)
end

-- Most parts of what falls apart are identifiers that are alone: `singles` has them by the slot that they come from.
local singles, take_parts = {}, nil
do
  local function part_at(key)
    local part = part_of[root(key)]
    if not part then
      part = {keys = {}, pieces = {}, by_slot = {}, fresh = {}, senior = key}
      part_of[root(key)], parts[#parts + 1] = part, part
    end
    return part
  end

  local function piece_at(part, slot, key)
    local piece = part.by_slot[slot]
    if not piece then
      piece = {part = part, slot = slot, keys = {}, senior = key}
      part.by_slot[slot] = piece
      table.insert(part.pieces, piece)
      pieces_of[slot] = pieces_of[slot] or {}
      table.insert(pieces_of[slot], piece)
    end
    return piece
  end

  local function put(whole, key)
    table.insert(whole.keys, key)
    if is_senior(key, whole.senior) then whole.senior = key end
  end

  local function is_single(key, slot)
    return slot and sizes[root(key)] == 1 and not wiped[slot] and not values_at[key] and not aparts_at[key]
  end

  take_parts = function()
    for _, key in ipairs(region) do
      local slot = parent[key] and old_of[key]
      if parent[key] and is_single(key, slot) and not next(refused) then
        singles[slot] = singles[slot] or {}
        table.insert(singles[slot], key)
      elseif parent[key] then
        local part = part_at(key)
        put(part, key)
        if slot and not wiped[slot] then put(piece_at(part, slot, key), key) else table.insert(part.fresh, key) end
      end
    end
    for _, one in pairs(refused) do
      for _, r in ipairs(one.roots) do part_of[root(r)].tied = true end
    end
  end
end

-- Each slot stays with the part that has most of what it held; a part that gets none has a new one.
local function give_slots()
  for _, slot in ipairs(old_slots) do
    local largest
    for _, piece in ipairs(not wiped[slot] and pieces_of[slot] or {}) do
      if not largest or #piece.keys > #largest.keys then largest = piece end
    end
    local part = largest and largest.part
    if part and (not part.slot or #part.by_slot[part.slot].keys < #largest.keys) then part.slot = slot end
  end
  local kept = {}
  for _, part in ipairs(parts) do
    if part.slot then kept[part.slot] = true end
  end
  return kept
end

local function write_part(part)
  local r = root(part.senior)
  local values, aparts = values_at[r], aparts_at[r]
  local entity = {entity_type = nodes[part.senior].entity_type, size = #part.keys, senior = part.senior,
    position = age[part.senior].position, tied = part.tied, apart = aparts ~= nil, values = values}
  local same = part.slot and #part.pieces == 1 and #part.fresh == 0 and #members_of[part.slot] == #part.keys
  if same then
    entity.members, entity.older = slots[part.slot].members, slots[part.slot].older
  else
    for _, id in ipairs(part.slot and chunks_of[part.slot] or {}) do dropped_chunks[#dropped_chunks + 1] = id end
    entity.members, entity.older = chunked(part.keys)
  end
  if part.slot then
    slots[part.slot], dirty_slots[part.slot] = entity, true
  else
    part.slot = new_slot(entity)
  end
end

local function write_singles(slot, keys)
  local head = '\1' .. slots[slot].entity_type .. struct.pack('>I4I4', 1, 0)
  for i, key in ipairs(keys) do
    local position = age[key].position
    single_records[last_slot + i] = head .. key .. struct.pack('>I2', #position) .. position .. key
    nodes[key].new_slot = last_slot + i
  end
  last_slot = last_slot + #keys
end

-- Nodes whose slot leads elsewhere are pointed to their new one; slots that lead nowhere any more are freed.
local function walk(slot, seen)
  while slot and slot ~= 0 and not seen[slot] do
    seen[slot] = true
    slot = slots[slot] and slots[slot].moved_to
  end
end

local function point_nodes(kept)
  local seen, used = {}, {}
  for _, part in ipairs(parts) do
    for _, key in ipairs(part.keys) do
      walk(nodes[key].slot, seen)
      if old_of[key] == part.slot then
        walk(nodes[key].slot, used)
      else
        nodes[key].slot, repointed[key] = part.slot, true
      end
    end
  end
  for _, keys in pairs(singles) do
    for _, key in ipairs(keys) do
      local node = nodes[key]
      walk(node.slot, seen)
      node.slot, repointed[key] = node.new_slot, true
    end
  end
  for _, slot in ipairs(old_slots) do
    seen[slot] = true
    for _, id in ipairs(kept[slot] and {} or chunks_of[slot]) do dropped_chunks[#dropped_chunks + 1] = id end
  end
  for slot in pairs(seen) do
    if not used[slot] and not kept[slot] then slots[slot], dirty_slots[slot] = nil, true end
  end
end
