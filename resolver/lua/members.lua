-- Memberships of persons, as consumers know them: by the ids of groups, which facts name by the keys of their links.
do
  -- What a name for people in a group comes to now: 16 bytes key of the group's id, and the role.
  local function resolved(set)
    local lists, found = {}, {}
    for name in pairs(set.memberships) do lists[#lists + 1] = (facts.parse_membership(name)) end
    profiles.read_homes(lists)
    for name, one in pairs(set.memberships) do
      local keys, role = facts.parse_membership(name)
      local slot = profiles.home_of(keys)
      if slot then
        local group = profiles.entity(slot).senior .. role
        found[group] = found[group] or facts.empty()
        facts.add_membership(found[group], '', one)
      end
    end
    local known = {}
    for group, one in pairs(found) do
      local united = one.memberships['']
      known[group] = {since = facts.instant_of(united.first), ended = united.has_ended and facts.instant_of(united.last) or nil}
    end
    return known
  end

  local NOBODY = string.rep('\0', 16)
  local earlier -- what was told of groups since entities are not summed up: 16 bytes key of an id, 16 bytes of what it is now

  local function read_earlier()
    earlier = earlier or (profiles.has_unsummed and redis.call('HGET', profiles.UNSUMMED, 'steps')) or ''
    return earlier
  end

  -- What consumers know of memberships after what was told of the groups: by the steps of this call, or by earlier ones.
  function profiles.followed(known, steps)
    if #steps == 0 then return known end
    local found = {}
    for name, one in pairs(known) do
      local id, role = string.sub(name, 1, 16), string.sub(name, 17)
      for _, step in ipairs(steps) do
        if id == step.gone then id = step.now end
      end
      if id then found[id .. role] = one end
    end
    return found
  end

  local function earlier_steps()
    local steps, packed = {}, read_earlier()
    for at = 1, #packed, 32 do
      local now = string.sub(packed, at + 16, at + 31)
      steps[#steps + 1] = {gone = string.sub(packed, at, at + 15), now = now ~= NOBODY and now or nil}
    end
    return steps
  end

  -- Steps that entities which are not summed up will have to follow.
  function profiles.keep_steps()
    if not profiles.has_unsummed or job ~= 'visible' then return end
    local parts = {read_earlier()}
    for _, step in ipairs(profiles.steps) do
      if step.entity_type == 'g' then parts[#parts + 1] = step.gone .. (step.now or NOBODY) end
    end
    if #parts > 1 then redis.call('HSET', profiles.UNSUMMED, 'steps', table.concat(parts)) end
  end

  function profiles.tell_memberships(cause, slot, known)
    local set = profiles.sums[slot]
    if profiles.unsummed[slot] then return end
    known = profiles.followed(known, earlier_steps())
    if known ~= set.known then profiles.is_summed[slot] = true end
    local id, now = profiles.entity(slot).senior, resolved(set)
    for _, name in ipairs(profiles.names_of(known, now)) do
      local old, new = known[name], now[name]
      if not (old and new and old.since == new.since and old.ended == new.ended) then
        profiles.tell_membership(cause, id, name, new)
        profiles.is_summed[slot] = true
      end
    end
    set.known = now
  end
end
