-- Profiles after what the call did to identity: facts go where the anchors of their links are, and what consumers know goes
-- with the ids, by the rules of docs/consuming.md. What differs then is told.
do
  local EMPTY = facts.empty()
  local causes = {} -- slot -> what changed the entity

  local function caused(cause, slot)
    return {position = cause.position, entity_type = profiles.entity(slot).entity_type}
  end

  local function in_order(of)
    local found = {}
    for slot in pairs(of) do found[#found + 1] = slot end
    table.sort(found)
    return found
  end

  -- What consumers know under each id, after what was told in this call.
  local function known_ids(involved)
    local known = {}
    for _, slot in ipairs(involved) do
      local one = profiles.unsummed[slot]
      local set = profiles.sums[one and one.ref or slot]
      if set and was_senior[slot] then known[was_senior[slot]] = set end
    end
    for _, step in ipairs(profiles.steps) do
      if step.now then known[step.now] = known[step.gone] end
      known[step.gone] = nil
    end
    return known
  end

  local function united(parts)
    local found, n = nil, 0
    for _, slot in ipairs(parts) do
      if profiles.sums[slot] then
        n = n + 1
        if n == 1 then
          found = profiles.sums[slot]
        else
          if n == 2 then
            local first = found
            found = facts.empty()
            facts.unite(found, first, profiles.gap_of)
          end
          facts.unite(found, profiles.sums[slot], profiles.gap_of)
        end
      end
    end
    return found
  end

  -- The facts of the region's links, by the slots of their anchors.
  local function region_sums()
    local region = profiles.region
    profiles.read_said(region.handles)
    local found = {}
    for _, handle in ipairs(region.handles) do
      local set = profiles.said[handle]
      local slot = set and profiles.home_of(set.keys)
      if slot then
        found[slot] = found[slot] or facts.empty()
        facts.unite(found[slot], set, profiles.gap_of)
      end
    end
    return found
  end

  local function merged_sums(found)
    for host, parts in pairs(profiles.came) do
      if slots[host] and not slots[host].moved_to and not (profiles.region and profiles.region.old[host]) then
        local all = {host}
        for _, one in ipairs(parts) do all[#all + 1] = one.slot end
        found[host] = united(all)
        causes[host] = parts[1].cause
      end
    end
  end

  local function involved_slots()
    local all = {}
    for host, parts in pairs(profiles.came) do
      all[host] = true
      for _, one in ipairs(parts) do all[one.slot] = true end
    end
    for slot in pairs(profiles.region and profiles.region.old or {}) do all[slot] = true end
    return in_order(all)
  end

  local function forget_erased()
    profiles.read_said(gone_links)
    for _, handle in ipairs(gone_links) do
      profiles.said[handle], profiles.is_said[handle] = false, true
    end
  end

  -- The identifiers of groups that became part of another entity, or of the same under another id.
  local function moved_groups()
    local keys = {}
    local function take(members, older)
      for _, key in ipairs((listed(members, older, true))) do keys[#keys + 1] = key end
    end
    for host, parts in pairs(profiles.came) do
      if parts[1].cause.entity_type == 'g' then
        for _, one in ipairs(parts) do take(one.members, one.older) end
        local now = slots[host]
        if now and not now.moved_to and now.senior ~= was_senior[host] then take(now.members, now.older) end
      end
    end
    for _, step in ipairs(profiles.steps) do
      if step.now then profiles.read_homes({step.now}) end
      local slot = step.entity_type == 'g' and step.now and profiles.slot_of(step.now)
      if slot and slots[slot] and slots[slot].members then take(slots[slot].members, slots[slot].older) end
    end
    for _, key in ipairs(profiles.region and profiles.region.groups or {}) do keys[#keys + 1] = key end
    for key in pairs(profiles.erased) do keys[#keys + 1] = key end
    return keys
  end

  local function staff_of(keys)
    profiles.read_staff(keys)
    local handles, seen = {}, {}
    for _, key in ipairs(keys) do
      local one = profiles.staff[key]
      for _, handle in ipairs((listed(one.handles, one.older, true))) do
        if not seen[handle] then
          seen[handle] = true
          handles[#handles + 1] = handle
        end
      end
    end
    return handles
  end

  -- Persons that groups concern which something happened to.
  local function concerned(keys)
    return profiles.persons_of(staff_of(keys))
  end

  function profiles.persons_of(handles)
    local found = {}
    for _, keys in ipairs(profiles.read_links_of(handles)) do found[profiles.home_of(keys) or 0] = true end
    found[0] = nil
    return in_order(found)
  end

  -- Memberships in groups that were erased.
  function profiles.leave_erased(persons)
    local keys = profiles.erased
    local function prune(set)
      local is_less = false
      for name in pairs(set.memberships) do
        profiles.each_key((facts.parse_membership(name)), function(key)
          if keys[key] then set.memberships[name], is_less = nil, true end
        end)
      end
      return is_less
    end
    for handle, set in pairs(profiles.said) do
      if set and prune(set) then profiles.is_said[handle] = true end
    end
    for _, slot in ipairs(persons) do
      if profiles.sums[slot] and prune(profiles.sums[slot]) then profiles.is_summed[slot] = true end
    end
  end

  local function read_refs(involved)
    local refs = {}
    for _, slot in ipairs(involved) do
      if profiles.unsummed[slot] then refs[#refs + 1] = profiles.unsummed[slot].ref end
    end
    profiles.read_sums(refs)
  end

  -- Entities that came together before all their facts were: they are not summed up yet either. What consumers know of them
  -- is kept aside.
  local function is_unsummed(host)
    if not slots[host] or slots[host].moved_to or (profiles.region and profiles.region.old[host]) then return false end
    for _, one in ipairs(profiles.came[host] or {}) do
      if profiles.unsummed[one.slot] then return true end
    end
    return profiles.came[host] and profiles.unsummed[host]
  end

  local function ref_of(old)
    if not old then return 0 end
    last_slot = last_slot + 1
    profiles.sums[last_slot], profiles.is_summed[last_slot] = old, true
    return last_slot
  end

  local function leave_unsummed(slot, set, old, cause)
    last_slot = last_slot + 1
    local token, own = last_slot, facts.empty() -- what consumers know stays as it is
    if set then facts.unite(own, set, profiles.gap_of) end
    profiles.sums[slot], profiles.is_summed[slot] = own, true
    profiles.unsummed[slot], profiles.is_unsummed[slot] = {ref = ref_of(old), token = token, cause = cause.position}, true
  end

  function profiles.carry(default)
    forget_erased()
    local involved = involved_slots()
    local groups = moved_groups()
    if #involved == 0 and #groups == 0 and not profiles.region then return end
    profiles.read_sums(involved)
    read_refs(involved)
    local persons = concerned(groups)
    profiles.read_sums(persons)
    if next(profiles.erased) then profiles.leave_erased(persons) end
    local unsummed = {}
    for _, host in ipairs(involved) do unsummed[host] = is_unsummed(host) or nil end
    local known, new = known_ids(involved), profiles.region and region_sums() or {}
    merged_sums(new)
    for _, slot in ipairs(involved) do
      local one = profiles.unsummed[slot]
      if one then
        profiles.unsummed[slot], profiles.is_unsummed[slot] = false, true
        if one.ref ~= 0 then profiles.sums[one.ref], profiles.is_summed[one.ref] = false, true end
      end
      if profiles.sums[slot] and new[slot] ~= profiles.sums[slot] then profiles.sums[slot], profiles.is_summed[slot] = false, true end
    end
    local to_join = {}
    for slot in pairs(profiles.region and profiles.region.new or {}) do new[slot] = new[slot] or false end
    for slot in pairs(unsummed) do new[slot] = new[slot] or false end
    for _, slot in ipairs(in_order(new)) do
      local id = profiles.entity(slot).senior
      local old, set = known[id], new[slot]
      if unsummed[slot] then
        leave_unsummed(slot, set, old, causes[slot] or default)
      elseif old ~= set and (old or set) then
        local cause = caused(causes[slot] or profiles.placed[slot] and profiles.placed[slot].cause or default, slot)
        set = set or facts.empty()
        profiles.sums[slot], profiles.is_summed[slot], set.timer = set, true, 0
        profiles.tell_difference(cause, id, old or EMPTY, set)
        to_join[slot] = profiles.followed(old and old.known or {}, profiles.steps)
        profiles.arm(slot, set, cause.entity_type)
      elseif set and profiles.sums[slot] ~= set then
        profiles.sums[slot], profiles.is_summed[slot], set.timer = set, true, 0
        profiles.arm(slot, set, profiles.entity(slot).entity_type)
      end
    end
    for _, slot in ipairs(persons) do
      if profiles.sums[slot] then to_join[slot] = to_join[slot] or profiles.followed(profiles.sums[slot].known, profiles.steps) end
    end
    for _, slot in ipairs(in_order(to_join)) do
      if profiles.sums[slot] and profiles.entity(slot).entity_type == 'p' then
        profiles.tell_memberships(caused(causes[slot] or default, slot), slot, to_join[slot])
      end
    end
  end
end
