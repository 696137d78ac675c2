-- Time goes by: `now` moves to the clock's instant, never back, and what became true by then is told. It moves no further
-- than the timers that one call sees to, so that all that were set up to `now` have gone off; and not at all while entities
-- are not summed up, since what consumers know of them is as of now.
do
  local MOST = 500

  -- Slots by the instants of their timers, and how far `now` may move.
  local function due(target)
    local key, before_1970 = profiles.TIMERS, profiles.EPOCH
    local function up_to(instant, ...)
      return redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', instant - before_1970), 'WITHSCORES', ...)
    end
    local found = up_to(target, 'LIMIT', 0, MOST + 1)
    if #found <= 2 * MOST then return found, target end
    local last, beyond = before_1970 + tonumber(found[2 * MOST]), before_1970 + tonumber(found[2 * MOST + 2])
    if last < beyond then
      found[2 * MOST + 1], found[2 * MOST + 2] = nil, nil
      return found, beyond - 1
    end
    return up_to(last), last
  end

  -- What became true, first of all: by its instant and the name of its state.
  local function cause_of(set, entity_type, from, to)
    local instant, name = math.huge, nil
    for _, rule in ipairs(rules_of.states[entity_type]) do
      for _, interval in ipairs(rule.kind and timelines.timed(rule, set, to) or {}) do
        if interval[2] > from and interval[2] < instant then instant, name = interval[2], rule.name end
      end
    end
    return name and {entity_type = entity_type,
      position = struct.pack('>I6', instant - profiles.EPOCH) .. 'nexus\0timer:' .. name}
  end

  local function go_off(slot, from, to)
    local set, one = profiles.sums[slot], profiles.entity(slot)
    local cause = cause_of(set, one.entity_type, from, to)
    set.timer, profiles.is_summed[slot] = 0, true
    if not cause then return end
    local was, is = timelines.of(set, one.entity_type, from, true), timelines.of(set, one.entity_type, to, true)
    local function is_news(instant) return instant > from and instant <= to end
    for _, name in ipairs(profiles.sorted(timelines.names(set, one.entity_type))) do
      timelines.tell(profiles.teller(cause, one.senior, name), was(name), is(name), is_news)
    end
    timelines.note_current(set, one.entity_type, is)
  end

  -- A slot may be that of an entity that moved, and is to be cleared away.
  local function is_living(slot)
    local senior = profiles.sums[slot] and slots[slot].senior
    return senior and profiles.slot_of(senior) == slot
  end

  -- Moves `now`, to `most` (ms since 1970) at most if that is said; how many timers went off, and whether more are due.
  function profiles.tick(most)
    if profiles.has_unsummed then return 0, false end
    local time, from = redis.call('TIME'), profiles.now
    local wanted = profiles.EPOCH + math.min(time[1] * 1000 + math.floor(time[2] / 1000), most or math.huge)
    local found, to = due(math.max(from, wanted))
    local set_for = {}
    for i = 1, #found, 2 do set_for[#set_for + 1] = tonumber(found[i]) end
    profiles.read_sums(set_for)
    local living = {}
    for _, slot in ipairs(set_for) do
      if profiles.sums[slot] then living[#living + 1] = slot end
    end
    load_slots(living, true)
    local seniors = {}
    for i, slot in ipairs(living) do seniors[i] = slots[slot].senior or '' end
    profiles.read_homes(seniors)
    profiles.now = to
    for _, slot in ipairs(set_for) do
      profiles.timers[slot] = false
      if is_living(slot) then
        go_off(slot, from, to)
        profiles.arm(slot, profiles.sums[slot], profiles.entity(slot).entity_type)
      end
    end
    return #set_for, to < wanted
  end
end
