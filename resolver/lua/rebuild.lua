-- The entities that come out, and what is told of it: see docs/consuming.md for the order of the transitions.
--
-- A part is an entity as it is now. Its pieces are what it has of each entity that was, in a chain (`next`) from the part's
-- first one, which stands for the part; a piece is called after its own oldest identifier. What a part has of no entity
-- that was is a piece of slot 0.
--
-- piece      {slot, numbers, size, senior, first, next}; the first one also has of the part: last, oldest, total, home (its
--            slot), kept (the piece that had that), tied
-- pieces_of  slot -> array of pieces
local parts, pieces_of = {}, {}
local age, age_ms = {}, {} -- number -> its oldest link, and the instant of that

local function take_ages()
  for n = 1, n_region do age_ms[n] = math.huge end
  for link = 1, n_links_at do
    local ms = link_ms[link]
    for at = first_end[link], first_end[link + 1] - 1 do
      local n = ends[at]
      local known = age_ms[n]
      if known and ms < known then
        age[n], age_ms[n] = link, ms
      elseif ms == known and before(position_of(link), position_of(age[n])) then
        age[n] = link
      end
    end
  end
end

local function is_senior(a, b)
  if age_ms[a] ~= age_ms[b] then return age_ms[a] < age_ms[b] end
  return senior(position_of(age[a]), region[a], position_of(age[b]), region[b])
end

-- Most parts of what falls apart are identifiers that are alone: `singles` has their numbers by the slot they come from.
local singles = {}

local function take_parts()
  local part_of, piece_at = {}, {} -- root -> part; slot -> root -> piece

  local function add_piece(r, slot, n)
    local piece = {slot = slot, numbers = {}, senior = n, size = 0, first = nil, next = nil, last = nil, oldest = nil, total = 0,
      home = nil, kept = nil, tied = nil} -- with room for all that is to come
    local part = part_of[r] or piece
    piece.first = part
    if part == piece then part_of[r], parts[#parts + 1] = part, part else part.last.next = piece end
    part.last = piece
    local pieces = pieces_of[slot] or {}
    pieces_of[slot], pieces[#pieces + 1] = pieces, piece
    piece_at[slot] = piece_at[slot] or {}
    piece_at[slot][r] = piece
    return piece
  end

  local function put(n, r, slot)
    local piece = piece_at[slot] and piece_at[slot][r] or add_piece(r, slot, n)
    piece.size = piece.size + 1
    piece.numbers[piece.size] = n
    if n ~= piece.senior and is_senior(n, piece.senior) then piece.senior = n end
  end

  local function sum_up(part)
    local piece = part.next
    part.oldest, part.total = part.senior, part.size
    while piece do
      part.total = part.total + piece.size
      if is_senior(piece.senior, part.oldest) then part.oldest = piece.senior end
      piece = piece.next
    end
  end

  local is_any_refused = next(refused)
  for n = 1, n_region do
    if parent[n] then
      local r, slot = root(n), not wiped[old_of[n]] and old_of[n] or 0
      if slot ~= 0 and sizes[r] == 1 and not is_any_refused and not values_at[n] and not aparts_at[n] then
        singles[slot] = singles[slot] or {}
        table.insert(singles[slot], n)
      else
        put(n, r, slot)
      end
    end
  end
  for _, part in ipairs(parts) do sum_up(part) end
  for _, one in pairs(refused) do
    for _, r in ipairs(one.roots) do part_of[root(r)].tied = true end
  end
end

-- Where the parts are: each has a slot, and nodes that point to it.
local function place_parts()
  -- Each slot stays with the part that has most of what it held; a part that gets none has a new one.
  local function give_slots()
    for _, slot in ipairs(old_slots) do
      local largest
      for _, piece in ipairs(pieces_of[slot] or {}) do
        if not largest or piece.size > largest.size then largest = piece end
      end
      local part = largest and largest.first
      if part and (not part.home or part.kept.size < largest.size) then part.home, part.kept = slot, largest end
    end
    local kept = {}
    for _, part in ipairs(parts) do
      if part.home then kept[part.home] = true end
    end
    return kept
  end

  local function keys_of(part)
    local keys, n, piece = {}, 0, part
    while piece do
      for i, number in ipairs(piece.numbers) do keys[n + i] = region[number] end
      n, piece = n + piece.size, piece.next
    end
    return keys
  end

  local function write_part(part)
    local r, key = root(part.oldest), region[part.oldest]
    local home = part.home
    local entity = {entity_type = entity_type_of(key), size = part.total, senior = key, tied = part.tied, members = '', older = 0,
      position = position_of(age[part.oldest]), apart = aparts_at[r] ~= nil, values = values_at[r]}
    if home and not part.next and #slots[home].keys == part.total then
      entity.members, entity.older = slots[home].members, slots[home].older
    else
      for _, id in ipairs(home and slots[home].chunk_ids or {}) do dropped_chunks[#dropped_chunks + 1] = id end
      entity.members, entity.older = chunked(keys_of(part))
    end
    if not home then
      last_slot = last_slot + 1
      part.home = last_slot
    end
    new_slots[part.home] = slot_record(entity)
    profiles.placed[part.home] = {senior = key, entity_type = entity.entity_type, cause = dirty[part.slot]}
  end

  -- Nodes whose slot leads elsewhere are pointed to their new one; slots that lead nowhere any more are freed.
  local seen, used, n_pairs = {}, {}, 0

  local function walk(slot, on)
    while slot and slot ~= 0 and not on[slot] do
      on[slot] = true
      slot = slots[slot] and slots[slot].moved_to
    end
  end

  local function point(n, slot, packed)
    local key, record = region[n], unread[n]
    seen[slot_of[n]] = true
    if record then
      repointed[n_pairs + 1], repointed[n_pairs + 2] = key, packed .. string.sub(record, 5)
      n_pairs = n_pairs + 2
    else
      nodes[key].slot, dirty_nodes[key] = slot, true
    end
  end

  local function write_singles(slot, numbers)
    local head = '\1' .. slots[slot].entity_type
    for _, n in ipairs(numbers) do
      local key, position = region[n], position_of(age[n])
      last_slot = last_slot + 1
      new_slots[last_slot] = head .. struct.pack('>I2', #position) .. position .. '\1' .. key
      point(n, last_slot, struct.pack('>I4', last_slot))
      profiles.home_at[n] = last_slot
      profiles.placed[last_slot] = {senior = key, entity_type = slots[slot].entity_type, cause = dirty[slot]}
    end
  end

  local function point_part(part)
    local piece, packed = part, struct.pack('>I4', part.home)
    while piece do
      for _, n in ipairs(piece.numbers) do
        profiles.home_at[n] = part.home
        if piece.slot == part.home then used[slot_of[n]] = true else point(n, part.home, packed) end
      end
      piece = piece.next
    end
  end

  local function free_slots(kept)
    local on_the_way, in_use = {}, {}
    for slot in pairs(seen) do walk(slot, on_the_way) end
    for slot in pairs(used) do walk(slot, in_use) end
    for _, slot in ipairs(old_slots) do
      on_the_way[slot] = true
      for _, id in ipairs(kept[slot] and {} or slots[slot].chunk_ids) do dropped_chunks[#dropped_chunks + 1] = id end
    end
    for slot in pairs(on_the_way) do
      if not in_use[slot] and not kept[slot] then slots[slot], dirty_slots[slot] = nil, true end
    end
  end

  local kept = give_slots()
  for _, part in ipairs(parts) do write_part(part) end
  for _, part in ipairs(parts) do point_part(part) end
  for slot, numbers in pairs(singles) do write_singles(slot, numbers) end
  free_slots(kept)
end
