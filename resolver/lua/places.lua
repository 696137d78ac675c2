-- Where identifiers are now and what consumers know of entities, for the scripts that read: also while a new answer is
-- visible and not all of it is done (see `sum_up`).
--
-- entities                      slot -> record of every slot that was met on the way
-- places(keys, records)         -> array aligned with the keys of these node records: the slot of the entity that each is
--                                  in, false for one that is in none
-- profiles_of(slots)            -> array aligned with the slots of entities: profile record, false for none
-- steps                         what was told of groups since: 16 bytes key of an id, 16 bytes of what it is now, or NULs
-- first_of(recent, older, most) -> the first entries of a list (see `lists`), and whether these are all
-- Cost   linear in the keys and in the slots on their way, one HMGET for each level of moved slots
local NODES, SLOTS, CHUNKS, MOVING, META, PROFILES, UNSUMMED, SAID, STAFF = unpack(KEYS)
local is_visible = redis.call('HGET', META, 'job') == 'visible'
local entities = {}

local places
do
  local function moved_to(slot)
    local record = entities[slot] -- false for one that was lost
    return record and string.byte(record) == 0 and (struct.unpack('>I4', record, 2))
  end

  local function read(wanted)
    while #wanted > 0 do
      local records, further = fetch(SLOTS, wanted), {}
      for i, slot in ipairs(wanted) do
        entities[slot] = records[i]
        local to = moved_to(slot)
        if to and entities[to] == nil then
          entities[to] = false
          further[#further + 1] = to
        end
      end
      wanted = further
    end
  end

  function places(keys, records)
    local moving, slots, wanted = is_visible and fetch(MOVING, keys) or {}, {}, {}
    for i = 1, #keys do
      slots[i] = tonumber(moving[i] or (records[i] and struct.unpack('>I4', records[i])) or 0)
      if slots[i] ~= 0 and entities[slots[i]] == nil then
        entities[slots[i]] = false
        wanted[#wanted + 1] = slots[i]
      end
    end
    read(wanted)
    for i, slot in ipairs(slots) do
      while slot ~= 0 and moved_to(slot) do slot = moved_to(slot) end
      slots[i] = slot ~= 0 and entities[slot] and slot
    end
    return slots
  end
end

local steps = UNSUMMED and redis.call('HGET', UNSUMMED, 'steps') or ''

local function profiles_of(slots)
  local refs = {}
  for i, record in ipairs(redis.call('EXISTS', UNSUMMED) == 1 and fetch(UNSUMMED, slots) or {}) do
    refs[i] = record and (struct.unpack('>I4', record))
  end
  for i, slot in ipairs(slots) do refs[i] = refs[i] or slot end
  return fetch(PROFILES, refs) -- there is no slot 0
end

local function first_of(recent, older, most)
  local found, waiting = {}, {older}
  local function take(entries)
    for at = 1, #entries, 16 do
      if #found == most then return end
      found[#found + 1] = string.sub(entries, at, at + 15)
    end
    return true
  end
  local is_all = take(recent)
  while is_all and #waiting > 0 do
    local id = table.remove(waiting)
    local record = id ~= 0 and redis.call('HGET', CHUNKS, id)
    if record then
      is_all = take(string.sub(record, 9))
      waiting[#waiting + 1], waiting[#waiting + 2] = struct.unpack('>I4I4', record)
    end
  end
  return found, is_all
end
