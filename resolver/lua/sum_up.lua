-- What a restructuring in bounded calls left to be summed up: entities whose facts are not all together yet.
--
-- UNSUMMED   slot -> 4 bytes slot whose facts are what consumers know of the entity (0: nothing), 4 bytes token, log position
--            of the cause; under 0 that of the whole; under `steps` what was told of groups. Meanwhile facts are taken, and
--            nothing is told.
-- Message    's', 4 bytes slot, 4 bytes token, 1 byte whether these are the last, 16 bytes for each link handle
--            'p', sized log position of the cause, 2 bytes count, 16 bytes for each key that was erased, 16 bytes for each
--            handle of persons' links: their memberships are in groups that changed
do
  local EMPTY = facts.empty()

  local function handles_from(message, at)
    local handles = {}
    profiles.each_key(string.sub(message, at), function(handle) handles[#handles + 1] = handle end)
    return handles
  end

  local function tell_all(slot, one)
    profiles.read_sums({one.ref})
    load_slots({slot}, true)
    local old, set, entity = profiles.sums[one.ref] or EMPTY, profiles.sums[slot] or facts.empty(), slots[slot]
    local cause = {position = one.cause, entity_type = entity.entity_type}
    profiles.unsummed[slot], profiles.is_unsummed[slot] = false, true
    profiles.sums[slot], profiles.is_summed[slot] = set, true
    profiles.tell_difference(cause, entity.senior, old, set)
    profiles.arm(slot, set, entity.entity_type)
    if entity.entity_type == 'p' then profiles.tell_memberships(cause, slot, old.known) end
    if one.ref ~= 0 then profiles.sums[one.ref], profiles.is_summed[one.ref] = false, true end
  end

  local function sum(message)
    local slot, token, is_last = struct.unpack('>I4I4B', message, 2)
    profiles.read_sums({slot})
    local one = profiles.unsummed[slot]
    if not one or one.token ~= token then return end
    local handles = handles_from(message, 11)
    profiles.read_links_of(handles)
    for _, handle in ipairs(handles) do
      local set = profiles.said[handle]
      if set and profiles.home_of(set.keys) == slot then
        profiles.sums[slot] = profiles.sums[slot] or facts.empty()
        facts.unite(profiles.sums[slot], set, profiles.gap_of)
        profiles.is_summed[slot] = true
      end
    end
    if is_last == 1 then tell_all(slot, one) end
  end

  local function persons(message)
    local length = struct.unpack('>I2', message, 2)
    local at = 4 + length
    local cause = {position = string.sub(message, 4, at - 1), entity_type = 'p'}
    local count = struct.unpack('>I2', message, at)
    profiles.each_key(string.sub(message, at + 2, at + 1 + 16 * count), function(key) profiles.erased[key] = true end)
    local slots_of = profiles.persons_of(handles_from(message, at + 2 + 16 * count))
    profiles.read_sums(slots_of)
    if count > 0 then profiles.leave_erased(slots_of) end
    for _, slot in ipairs(slots_of) do
      if profiles.sums[slot] then profiles.tell_memberships(cause, slot, profiles.sums[slot].known) end
    end
  end

  function profiles.sum_up()
    for i = FIRST_MOVE, #ARGV do
      if string.sub(ARGV[i], 1, 1) == 's' then sum(ARGV[i]) else persons(ARGV[i]) end
    end
  end
end
