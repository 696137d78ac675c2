-- What is told of the profile of an entity: what its facts come to now, against what consumers know.
do
  local function sized(text)
    return struct.pack('>I2', #text) .. text
  end

  local function interval(one)
    return sized(one[1]) .. struct.pack('>I7I7', one[2], one[3] or 0)
  end

  local function tell_trait(cause, id, name, one)
    emit(9, cause, id, sized(name) .. (one and sized(one.origin) .. struct.pack('>I4', #one.value) .. one.value or sized('')))
  end

  function profiles.tell_membership(cause, id, name, one)
    emit(one and not one.ended and 10 or 11, cause, id,
      sized(name) .. struct.pack('>I7I7', one and one.since or 0, one and one.ended or 0))
  end

  local MOST_INTERVALS = 1000

  function profiles.teller(cause, id, name)
    local function correct(old, intervals, from)
      local pieces, to = {}, math.min(#intervals, from + MOST_INTERVALS - 1)
      for i = from, to do pieces[#pieces + 1] = interval(intervals[i]) end
      emit(14, cause, id, sized(name) .. (old and '\1' .. interval(old) or '\0')
        .. struct.pack('>I2', #pieces) .. table.concat(pieces))
      if to < #intervals then correct(nil, intervals, to + 1) end
    end
    return {
      entered = function(one) emit(12, cause, id, sized(name) .. interval({one[1], one[2]})) end,
      exited = function(one) emit(13, cause, id, sized(name) .. interval(one)) end,
      corrected = function(old, intervals) correct(old, intervals, 1) end,
    }
  end

  -- The word on a trait that counts; nil where nobody has one.
  function profiles.winner(by_source)
    local best, best_priority
    for source, one in pairs(by_source or {}) do
      local priority = rules_of.sources[source] or math.huge
      if not best or priority < best_priority or (priority == best_priority and before(best.origin, one.origin)) then
        best, best_priority = one, priority
      end
    end
    return best
  end

  local function is_set(one)
    return one and one.value ~= 'null'
  end

  function profiles.tell_trait_change(cause, id, name, old, new)
    local was, is = is_set(old) and old.value, is_set(new) and new.value
    if was ~= is then
      tell_trait(cause, id, name, new)
    elseif is and old.origin ~= new.origin and watched.is_on then
      watched.take_said(id) -- somebody else says the same now
    end
  end

  function profiles.sorted(names)
    table.sort(names, before)
    return names
  end

  function profiles.names_of(one, other)
    local names = {}
    for name in pairs(one) do names[#names + 1] = name end
    for name in pairs(other) do
      if not one[name] then names[#names + 1] = name end
    end
    return profiles.sorted(names)
  end

  function profiles.tell_difference(cause, id, old, new)
    for _, name in ipairs(profiles.names_of(old.traits, new.traits)) do
      profiles.tell_trait_change(cause, id, name, profiles.winner(old.traits[name]), profiles.winner(new.traits[name]))
    end
    local was = timelines.of(old, cause.entity_type, profiles.now, true)
    local is = timelines.of(new, cause.entity_type, profiles.now, true)
    local names, seen = timelines.names(new, cause.entity_type), {}
    for _, name in ipairs(names) do seen[name] = true end
    for name in pairs(old.states) do
      if not seen[name] then names[#names + 1] = name end
    end
    for _, name in ipairs(profiles.sorted(names)) do
      timelines.tell(profiles.teller(cause, id, name), was(name), is(name), function() return false end)
    end
  end

  function profiles.arm_at(slot, set, due)
    if due > 0 and (set.timer == 0 or due < set.timer) then
      set.timer, profiles.timers[slot], profiles.is_summed[slot] = due, due, true
    end
  end

  function profiles.arm(slot, set, entity_type)
    profiles.arm_at(slot, set, timelines.due(set, entity_type, profiles.now))
  end
end
