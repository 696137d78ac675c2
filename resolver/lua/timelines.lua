-- Timelines: what the facts of an entity come to, as of `now`; and what changes from one to the next. The same as
-- resolver/profiles.py, which tells of it.
--
-- Steps      array of {instant, value or false}, in order: from then on the state is this.  Of an instant the last counts
-- Timeline   array of {value, entered, exited or nil}: equal neighbours are one interval
local timelines = {}

do
  local FOREVER = 2 ^ 52

  function timelines.of_steps(steps)
    local found, n, current, is_first = {}, 0, false, true
    for i, step in ipairs(steps) do
      local at, value, following = step[1], step[2], steps[i + 1]
      if not (following and following[1] == at) and (is_first or value ~= current) then
        if current then found[n][3] = at end
        if value then
          n = n + 1
          found[n] = {value, at}
        end
        current, is_first = value, false
      end
    end
    return found
  end

  local function of_facts(list)
    local steps, n = {}, 0
    facts.open(list)
    if list.older then steps[1], n = {list.entered, list.value}, 1 end
    for i, one in ipairs(list) do steps[n + i] = {facts.instant_of(one.origin), one.value} end
    local found = timelines.of_steps(steps)
    found.begins = list.older and list.entered
    return found
  end

  -- By instant; of one instant what ends comes before what begins.
  local function changes_of(names, known)
    local found, n = {}, 0
    for _, name in ipairs(names) do
      for _, interval in ipairs(known(name)) do
        found[n + 1] = {interval[2], 1, name, interval[1]}
        n = n + 1
        if interval[3] then
          n = n + 1
          found[n] = {interval[3], 0, name, false}
        end
      end
    end
    table.sort(found, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[2] < b[2]
    end)
    return found
  end

  -- The first formula that is true gives the value.
  local function value_of(rule, states)
    for _, one in ipairs(rule.derived) do
      if one[2](states) then return one[1] end
    end
    return false
  end

  local function derived(rule, known)
    local changes, states, steps, begins = changes_of(rule.uses, known), {}, {}, nil
    for _, name in ipairs(rule.uses) do
      local one = known(name).begins
      if one and (not begins or one > begins) then begins = one end
    end
    -- What began before `begins` (it may be known since when) is what is so as of then.
    local function instant_of(change)
      return change and math.max(change[1], begins or change[1])
    end
    for i, change in ipairs(changes) do
      states[change[3]] = change[4] and cjson.decode(change[4]) or nil
      local at = instant_of(change)
      if instant_of(changes[i + 1]) ~= at then steps[#steps + 1] = {at, value_of(rule, states)} end
    end
    local found = timelines.of_steps(steps)
    found.begins = begins
    return found
  end

  -- What is known of a derived state's timeline from `begins` on may have begun earlier: since when is kept of what is
  -- current, which may be another interval of it. `is_cut`: the first interval began earlier, nobody knows when.
  local function since_when(found, entered)
    local first = found[1]
    if not (found.begins and first and first[2] == found.begins) then return end
    local is_known = not first[3] and entered and entered <= found.begins
    if is_known then first[2] = entered else found.is_cut = true end
  end

  local function after(rule, active, now)
    local steps = {}
    for _, run in ipairs(active) do
      steps[#steps + 1] = {run[1], rule.before or false}
      if run[2] + rule.gap <= now then steps[#steps + 1] = {run[2] + rule.gap, rule.value} end
    end
    return timelines.of_steps(steps)
  end

  local function within(rule, started, awaited, now)
    local steps = {}
    for _, run in ipairs(started) do
      local deadline = run[1] + rule.gap
      local is_reached, ends = false, nil
      for _, other in ipairs(awaited) do
        if other[2] >= run[1] and other[1] <= deadline then is_reached = true end
        if other[1] > deadline then
          ends = other[1]
          break
        end
      end
      if not is_reached and deadline <= now then
        steps[#steps + 1] = {deadline, rule.value, #steps}
        if ends then steps[#steps + 1] = {ends, false, #steps} end
      end
    end
    table.sort(steps, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[3] < b[3]
    end)
    return timelines.of_steps(steps)
  end

  function timelines.timed(rule, set, now)
    local active = facts.runs(set, 's' .. rule.name)
    if rule.kind == 'after' then return after(rule, active, now) end
    return within(rule, active, facts.runs(set, 'u' .. rule.name), now)
  end

  -- A function from the name of a state to its timeline, which computes what is asked for, once; and what it has computed.
  -- Timelines begin where they leave off what is older, unless they are to be whole.
  function timelines.of(set, entity_type, now, is_whole)
    local rules, found = rules_of.states[entity_type], {}
    local function known(name)
      if found[name] then return found[name] end
      local rule, timeline = rules[name], nil
      if rule and rule.derived then
        timeline = derived(rule, known)
        since_when(timeline, set.current[name])
      elseif rule and rule.kind then
        timeline = timelines.timed(rule, set, now)
      else
        local list = set.states[name] or {}
        timeline = of_facts(is_whole and facts.whole(list) or list)
      end
      found[name] = timeline
      return timeline
    end
    return known, found
  end

  -- The value of a derived state as of its inputs' last changes; nil if the inputs or itself have changed later than at an
  -- instant, or itself at that instant.
  function timelines.value_at(rule, own, known, instant)
    local function ends(timeline)
      local last = timeline[#timeline]
      return last and (last[3] or last[2]) or 0
    end
    if ends(own) >= instant then return nil end
    local states = {}
    for _, name in ipairs(rule.uses) do
      local timeline = known(name)
      if ends(timeline) > instant then return nil end
      local last = timeline[#timeline]
      states[name] = last and not last[3] and cjson.decode(last[1]) or nil
    end
    return value_of(rule, states)
  end

  -- Keeps since when derived states are what they are, for who does not look at all that is older.
  function timelines.note_current(set, entity_type, known)
    for _, rule in ipairs(rules_of.states[entity_type]) do
      local timeline = rule.derived and known(rule.name)
      local last = timeline and timeline[#timeline]
      if timeline then set.current[rule.name] = last and not last[3] and last[2] or nil end
    end
  end

  -- Whether what an instant can change lies within what the timelines hold.
  function timelines.reach(found, names, instant)
    for _, name in ipairs(names) do
      local timeline = found[name]
      if timeline.begins and instant <= timeline.begins then return false end
      if timeline.is_cut and instant <= timeline[1][3] then return false end
    end
    return true
  end

  -- The states of an entity that there may be something to tell of, and all that follow from some of them.
  function timelines.names(set, entity_type)
    local names, seen = {}, {}
    for name in pairs(set.states) do
      names[#names + 1], seen[name] = name, true
    end
    for _, rule in ipairs(rules_of.states[entity_type]) do
      if not seen[rule.name] then names[#names + 1] = rule.name end
    end
    return names
  end

  function timelines.following(changed, entity_type)
    local names, is_changed = {}, {}
    for _, name in ipairs(changed) do
      if not is_changed[name] then names[#names + 1], is_changed[name] = name, true end
    end
    for _, rule in ipairs(rules_of.states[entity_type]) do
      for _, name in ipairs(rule.uses or {}) do
        if is_changed[name] and not is_changed[rule.name] then
          names[#names + 1], is_changed[rule.name] = rule.name, true
        end
      end
    end
    return names
  end

  -- Activity at an instant that changes no timeline, as most does: it lies in the last run, or moves its end or begins another
  -- before its time is up. False where it may change one; else the instant at which a timer is needed for it, or 0.
  local function is_awaited(started, awaited, instant, now, gap)
    for i = #started, 1, -1 do
      local deadline = started[i][1] + gap
      if awaited and deadline < awaited[1] then return false end -- what came before has settled it
      if deadline <= now and started[i][1] <= instant then return true end
    end
    return false
  end

  function timelines.quiet_until(rule, set, name, instant, now)
    local run, gap = facts.last_run(set, name), rule.gap
    if run and instant < run[1] then return false end
    if run and instant <= run[2] then return 0 end
    if rule.kind == 'after' then return run and run[2] + gap > now and 0 end
    if string.byte(name) == 115 then
      if run and instant <= run[2] + gap then return 0 end
      return instant + gap > now and instant + gap
    end
    return not is_awaited(facts.runs(set, 's' .. rule.name), run, instant, now, gap) and 0
  end

  -- The next instant after `now` at which a timed state changes if nothing happens; 0: none does.
  function timelines.due(set, entity_type, now)
    local due = FOREVER
    for _, rule in ipairs(rules_of.states[entity_type]) do
      for _, interval in ipairs(rule.kind and timelines.timed(rule, set, FOREVER) or {}) do
        if interval[2] > now and interval[2] < due then due = interval[2] end
      end
    end
    return due < FOREVER and due or 0
  end

  -- What to tell of one state, to those who know the old timeline. `is_news` says of an instant whether what began then is
  -- news: what only came to be known otherwise is a correction.
  local function same(a, b)
    return a and b and a[1] == b[1] and a[2] == b[2] and a[3] == b[3]
  end

  local function goes_on(old, new, from, is_news)
    local gone, come = #old - from + 1, #new - from + 1
    local first, begins = old[from], new[from]
    if gone > 0 and (gone > 1 or come == 0 or first[3] or first[1] ~= begins[1] or first[2] ~= begins[2]) then return false end
    if gone > 0 and come == 1 then return is_news(begins[3]) end
    for i = from + gone, #new do
      if not is_news(new[i][2]) then return false end
    end
    return true
  end

  local function correct(tell_of, old, new, from, gone_to, come_to)
    local at = from
    for place = from, gone_to do
      local intervals = {}
      local ends = place < gone_to and old[place + 1][2] or math.huge
      while at <= come_to and new[at][2] < ends do
        intervals[#intervals + 1] = new[at]
        at = at + 1
      end
      tell_of.corrected(old[place], intervals)
    end
    if gone_to < from and come_to >= from then
      local intervals = {}
      for i = from, come_to do intervals[#intervals + 1] = new[i] end
      tell_of.corrected(nil, intervals)
    end
  end

  function timelines.is_same(old, new)
    for i = 1, math.max(#old, #new) do
      if not same(old[i], new[i]) then return false end
    end
    return true
  end

  function timelines.tell(tell_of, old, new, is_news)
    local from = 1
    while same(old[from], new[from]) do from = from + 1 end
    if from > #old and from > #new then return end
    if goes_on(old, new, from, is_news) then
      if old[from] then
        tell_of.exited(new[from])
        from = from + 1
      end
      for i = from, #new do
        tell_of.entered(new[i])
        if new[i][3] then tell_of.exited(new[i]) end
      end
      return
    end
    local gone_to, come_to = #old, #new
    while gone_to >= from and come_to >= from and same(old[gone_to], new[come_to]) do
      gone_to, come_to = gone_to - 1, come_to - 1
    end
    correct(tell_of, old, new, from, gone_to, come_to)
  end
end
