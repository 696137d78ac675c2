-- What the call did, for the outbox.
--
-- A transition: 1 byte kind, 2 bytes length + log position, 1 byte entity type, 16 bytes key of the entity id, then
--   1 created       1 byte count, count times: 16 bytes key, 2 bytes length + name
--   2 added         16 bytes key, 2 bytes length + name
--   3 merged        16 bytes key of the absorbed id, 4 bytes identifiers moved
--   4 relabelled    16 bytes key of the former id
--   5 split         16 bytes key of the part's id, 4 bytes part, 4 bytes parts, 2 bytes count, then as in created
--   6 quarantined   16 bytes key, 2 bytes length + name, then '\0' blocked, or
--                   '\1', 1 byte length + type of the partners ('' any), 2 bytes limit, 2 bytes length + log position
--   7 released      16 bytes key, 2 bytes length + name, 1 byte why (1 released, 2 unblocked, 3 rules, 4 erased)
--   8 erased        2 bytes count, 16 bytes key of each erased id
--   9 trait         sized name, sized origin ('': nobody says it any more), 4 bytes length + value
--  10 member        sized name (16 bytes key of the group's id; '\0' or '\1' and the role), 7 bytes since when, 7 bytes 0
--  11 no member     the same with until when; 0 and 0: there is no such membership any more
--  12 entered       sized state, interval: sized value, 7 bytes entered, 7 bytes exited (0: not yet)
--  13 exited        sized state, interval
--  14 corrected     sized state, '\0' or '\1' and the interval replaced, 2 bytes count, times: interval
--  sized: 2 bytes length + text; instants and origins are as in `facts`
--
-- made     all of them, in pieces; n_made: how many they are
local made, n_made = {}, 0
local tell, emit = {}, nil

do
  local MOST_CREATED, MOST_SPLIT, n_pieces = 64, 1000, 0

  local function add_made(piece)
    n_pieces = n_pieces + 1
    made[n_pieces] = piece
  end

  emit = function(kind, cause, entity_key, rest)
    n_made = n_made + 1
    if watched.is_on then watched.take_told(kind, entity_key, rest) end
    add_made(struct.pack('>BI2', kind, #cause.position) .. cause.position .. cause.entity_type .. entity_key .. rest)
  end

  local function sized_name(key)
    local record = unread[number_of[key]]
    if record then return name_in(record) end
    local name = nodes[key].name
    return struct.pack('>I2', #name) .. name
  end

  local function named(key)
    return key .. sized_name(key)
  end

  -- The identifiers that the transition told last is about.
  local function add_named(keys, first, last)
    for i = first, last do
      made[n_pieces + 1], made[n_pieces + 2] = keys[i], sized_name(keys[i])
      n_pieces = n_pieces + 2
    end
  end

  function tell.created(cause, entity_key, keys)
    local count = math.min(#keys, MOST_CREATED)
    emit(1, cause, entity_key, string.char(count))
    add_named(keys, 1, count)
    for i = count + 1, #keys do emit(2, cause, entity_key, named(keys[i])) end
  end

  function tell.added(cause, entity_key, key)
    emit(2, cause, entity_key, named(key))
  end

  function tell.merged(cause, entity_key, absorbed_key, moved)
    profiles.step(cause, absorbed_key)
    emit(3, cause, entity_key, absorbed_key .. struct.pack('>I4', moved))
    remember(3, cause, entity_key, absorbed_key, moved, number + n_made)
    remember(5, cause, absorbed_key, entity_key, moved, number + n_made)
  end

  function tell.relabelled(cause, entity_key, former_key)
    profiles.step(cause, former_key, entity_key)
    emit(4, cause, entity_key, former_key)
    remember(4, cause, entity_key, former_key, 0, number + n_made)
    remember(6, cause, former_key, entity_key, 0, number + n_made)
  end

  function tell.split(cause, entity_key, part_key, part, parts, keys)
    for first = 1, #keys, MOST_SPLIT do
      local last = math.min(first + MOST_SPLIT - 1, #keys)
      emit(5, cause, entity_key, part_key .. struct.pack('>I4I4I2', part, parts, last - first + 1))
      add_named(keys, first, last)
    end
    tell.remember_split(cause, entity_key, part_key, #keys, parts)
  end

  -- Of a split into very many parts only the whole remembers.
  local MOST_REMEMBERED = 1000

  function tell.remember_split(cause, entity_key, part_key, moved, parts)
    if parts > MOST_REMEMBERED and remembered[entity_key] and #remembered[entity_key] >= HISTORY_LENGTH then return end
    remember(7, cause, entity_key, part_key, moved, number + n_made)
    if parts <= MOST_REMEMBERED then remember(8, cause, part_key, entity_key, moved, number + n_made) end
  end

  -- Parts of one identifier each, the whole's senior one aside, which goes on under the id; how many that are.
  function tell.singles(cause, entity_key, keys, parts)
    local head = struct.pack('>BI2', 5, #cause.position) .. cause.position .. cause.entity_type .. entity_key
    local pack, told = struct.pack, 0
    for _, key in ipairs(keys) do
      if key ~= entity_key then
        told, n_made = told + 1, n_made + 1
        if watched.is_on then watched.take_told(5, entity_key, key) end
        add_made(head .. key .. pack('>I4I4I2', told, parts, 1) .. key .. sized_name(key))
        tell.remember_split(cause, entity_key, key, 1, parts)
      end
    end
    return told
  end

  function tell.quarantined(cause, entity_key, key, reason)
    local told = '\0'
    if reason then
      local _, brought = youngest(reason.group)
      local kind = reason.limit.partner_type
      told = '\1' .. string.char(#kind) .. kind .. struct.pack('>I2I2', reason.group.most, #brought) .. brought
    end
    emit(6, cause, entity_key, named(key) .. told)
    remember(9, cause, key, entity_key, 1, number + n_made)
  end

  function tell.released(cause, entity_key, key, why)
    emit(7, cause, entity_key, named(key) .. string.char(why))
    remember(10, cause, key, entity_key, 1, number + n_made)
  end

  function tell.erased(cause, entity_key, keys)
    profiles.step(cause, entity_key)
    for first = 1, #keys, MOST_SPLIT do
      local last = math.min(first + MOST_SPLIT - 1, #keys)
      emit(8, cause, entity_key, struct.pack('>I2', last - first + 1) .. table.concat(keys, '', first, last))
    end
  end
end
