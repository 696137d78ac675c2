-- What the messages say, one after the other.
do
  -- What a message says, behind its head. Many of a batch say the same.
  local bodies = {}

  local function parse_body(body, entity_type)
    local one, at = {traits = {}, states = {}, runs = {}, memberships = {}}, 1
    local function number(format, length)
      at = at + length
      return (struct.unpack(format, body, at - length))
    end
    local function text(length)
      at = at + length
      return string.sub(body, at - length, at - 1)
    end
    local function each(list, read)
      for i = 1, number('>I4', 4) do list[i] = read() end
    end
    local function name()
      return text(number('>I2', 2))
    end
    local function run()
      local of = name()
      local state = string.sub(of, 2)
      local rule = rules_of.states[entity_type][state]
      return {name = of, state = state, rule = rule, gap = rule.gap}
    end
    each(one.traits, function() return {name(), text(number('>I4', 4))} end)
    each(one.states, function() return {name(), name()} end)
    each(one.runs, run)
    each(one.memberships, function() return {name(), text(1) == '\1'} end)
    return one
  end

  local function body_of(body, entity_type)
    local of_type = bodies[entity_type] or {}
    bodies[entity_type] = of_type
    of_type[body] = of_type[body] or parse_body(body, entity_type)
    return of_type[body]
  end

  local function parse_message(message)
    local sub = string.sub
    local at = 19 + 16 * string.byte(message, 18)
    local entity_type = sub(message, 17, 17)
    local one = {handle = sub(message, 1, 16), entity_type = entity_type, keys = sub(message, 19, at - 1)}
    if entity_type == '=' then
      one.from = sub(message, at, at + 15)
      return one
    end
    local instant, length = struct.unpack('>I7I2', message, at)
    local ends = at + 9 + length
    one.instant, one.position = instant, sub(message, at + 9, ends - 1)
    one.origin = sub(message, at, at + 6) .. sub(message, at + 15, ends - 1)
    one.says = body_of(sub(message, ends), entity_type)
    return one
  end

  local function add_staff(name, handle)
    local keys = {}
    profiles.each_key((facts.parse_membership(name)), function(key) keys[#keys + 1] = key end)
    profiles.read_staff(keys)
    for _, key in ipairs(keys) do
      local one = profiles.staff[key]
      one.handles, one.older = append(one.handles, one.older, handle)
      profiles.is_staffed[key] = true
    end
  end

  local function add_traits(one, set, sum, id)
    for _, trait in ipairs(one.says.traits) do
      local name, value = trait[1], trait[2]
      if facts.add_trait(set, name, one.origin, value) then
        profiles.is_said[one.handle] = true
        local old = sum and profiles.winner(sum.traits[name])
        if sum and facts.add_trait(sum, name, one.origin, value) then
          one.is_new = true
          profiles.tell_trait_change(one, id, name, old, profiles.winner(sum.traits[name]))
        end
      end
    end
  end

  local function add_states(one, set, sum, changed)
    local origin, instant, is_new = one.origin, one.instant, false
    for _, state in ipairs(one.says.states) do
      local name, value = state[1], state[2]
      if facts.add_state(set, name, origin, value) then
        is_new = true
        if sum and facts.add_state(sum, name, origin, value) then changed[name] = true end
      end
    end
    for _, run in ipairs(one.says.runs) do
      if facts.add_run(set, run.name, instant, instant, run.gap) then
        is_new = true
        if sum and facts.add_run(sum, run.name, instant, instant, run.gap) then changed[run.state] = true end
      end
    end
    if is_new then profiles.is_said[one.handle] = true end
  end

  local function add_memberships(one, set, sum)
    local is_new = false
    for _, membership in ipairs(one.says.memberships) do
      local name = membership[1]
      local said_now = {first = one.origin, last = one.origin, has_ended = membership[2]}
      if not set.memberships[name] then add_staff(name, one.handle) end
      if facts.add_membership(set, name, said_now) then
        profiles.is_said[one.handle] = true
        is_new = sum and facts.add_membership(sum, name, said_now) or is_new
      end
    end
    return is_new
  end

  -- The link that remains of one that is about to go, with its facts. Who they are facts of is settled when that goes.
  local function inherit(one)
    profiles.read_said({one.from})
    local from, set = profiles.said[one.from], profiles.said[one.handle] or facts.empty(one.keys)
    if not from then return end
    for name in pairs(from.memberships) do
      if not set.memberships[name] then add_staff(name, one.handle) end
    end
    facts.unite(set, from, profiles.gap_of)
    profiles.said[one.handle], profiles.is_said[one.handle] = set, true
  end

  local followers = {}

  -- These states and those that follow from them, each behind those that it follows from; and by name, as they are told.
  local function touched_states(loud, entity_type)
    local known = entity_type .. table.concat(loud, '\0')
    if not followers[known] then
      local names = timelines.following(loud, entity_type)
      followers[known] = {names, profiles.sorted({unpack(names)})}
    end
    return unpack(followers[known])
  end

  -- The timelines of an entity stay at hand for the rest of the call, and most facts come in the order of time: they end the
  -- last interval and begin another, and only then is a timeline made anew, whatever its length.
  local function lines_of(sum, entity_type, names)
    if not sum.lines then
      local known, found = timelines.of(sum, entity_type, profiles.now)
      sum.lines = {known = known, found = found}
    end
    for _, name in ipairs(names) do sum.lines.known(name) end
    return sum.lines
  end

  local function is_within(one, sum, names)
    for _, state in ipairs(one.says.states) do
      local list = sum.states[state[1]]
      if list and list.older and one.instant <= facts.instant_of(list.last) then return false end
    end
    return timelines.reach(sum.lines.found, names, one.instant)
  end

  -- Has the timelines at hand that the message may change, as far back as it reaches.
  local function look(one, sum, names)
    lines_of(sum, one.entity_type, names)
    if is_within(one, sum, names) then return end
    facts.expand(sum)
    sum.lines = nil
    lines_of(sum, one.entity_type, names)
  end

  local function is_quiet(list, value, instant)
    if not list then return false end
    local last, last_value = facts.newest(list)
    return last_value == value and last < instant
  end

  -- The states whose timelines a message may change. Most change none: what they say was so before, and then no timeline is
  -- looked at. Besides, the instant at which a timer is needed for what changes none, or 0; and whether a timed one may change.
  local function loud_states(one, sum)
    local loud, first, is_timed = {}, 0, false
    for _, state in ipairs(one.says.states) do
      if not is_quiet(sum.states[state[1]], state[2], one.instant) then loud[#loud + 1] = state[1] end
    end
    for _, run in ipairs(one.says.runs) do
      local due = timelines.quiet_until(run.rule, sum, run.name, one.instant, profiles.now)
      if not due then
        loud[#loud + 1], is_timed = run.state, true
      elseif due > 0 and (first == 0 or due < first) then
        first = due
      end
    end
    return loud, first, is_timed
  end

  local function is_in_order(list, instant)
    return not list or facts.newest(list) < instant
  end

  local function tell_states(one, sum, id, names, in_order, sorted)
    local lines, rules = sum.lines, rules_of.states[one.entity_type]
    local steps, old = {}, {} -- what ends and what begins at this instant; timelines that are made anew, as they were

    local function step(name, value)
      local timeline = lines.found[name]
      local last = timeline[#timeline]
      local is_open = last and not last[3]
      if (is_open and last[1] or false) == value then return end
      steps[name] = {}
      if is_open then last[3], steps[name].ended = one.instant, last end
      if value then
        steps[name].begun = {value, one.instant}
        timeline[#timeline + 1] = steps[name].begun
      end
    end

    local function renew(name)
      local was = lines.found[name]
      lines.found[name] = nil
      local now = lines.known(name)
      if was.begins and was[1] and now[1] and now[1][1] == was[1][1] and now[1][2] == was.begins then
        now[1][2], now.is_cut = was[1][2], was.is_cut -- it began when it did, before what is known here
      end
      if not timelines.is_same(was, now) then old[name] = was end
    end

    local function follow(name, rule)
      local is_renewed, is_stepped = false, false
      for _, use in ipairs(rule.uses) do
        is_renewed, is_stepped = is_renewed or old[use] ~= nil, is_stepped or steps[use] ~= nil
      end
      local value
      if not is_renewed and is_stepped then value = timelines.value_at(rule, lines.found[name], lines.known, one.instant) end
      if value ~= nil then step(name, value) elseif is_renewed or is_stepped then renew(name) end
    end

    for _, name in ipairs(names) do
      local rule = rules[name]
      if rule and rule.derived then
        follow(name, rule)
      elseif not (rule and rule.kind) and in_order[name] then
        step(name, select(2, facts.newest(sum.states[name])))
      else
        renew(name)
      end
    end
    local function is_news(instant) return instant == one.instant end
    for _, name in ipairs(sorted) do
      local stepped, was = steps[name], old[name]
      local tell_of = (stepped or was) and profiles.teller(one, id, name)
      if stepped and stepped.ended then tell_of.exited(stepped.ended) end
      if stepped and stepped.begun then tell_of.entered(stepped.begun) end
      if was then timelines.tell(tell_of, was, lines.found[name], is_news) end
    end
    if facts.has_older(sum) then timelines.note_current(sum, one.entity_type, lines.known) end
  end

  local function learn_states(one, set, sum, id, changed)
    local loud, due, is_timed = loud_states(one, sum)
    if #loud == 0 then
      add_states(one, set, sum, changed)
    else
      local names, sorted = touched_states(loud, one.entity_type)
      local in_order = {}
      look(one, sum, names)
      for _, name in ipairs(names) do in_order[name] = is_in_order(sum.states[name], one.instant) end
      add_states(one, set, sum, changed)
      if next(changed) then tell_states(one, sum, id, names, in_order, sorted) end
    end
    return is_timed and timelines.due(sum, one.entity_type, profiles.now) or due
  end

  -- The facts of an entity that is not summed up yet.
  local function take_only(one, set, slot)
    add_traits(one, set)
    add_states(one, set, nil, {})
    add_memberships(one, set)
    if profiles.is_said[one.handle] then
      profiles.sums[slot], profiles.is_summed[slot] = profiles.sums[slot] or facts.empty(), true
      facts.unite(profiles.sums[slot], set, profiles.gap_of)
    end
  end

  local function learn(one)
    local set, slot = profiles.said[one.handle] or facts.empty(one.keys), one.slot
    profiles.said[one.handle] = set
    if slot and profiles.unsummed[slot] then return take_only(one, set, slot) end
    local sum = slot and (profiles.sums[slot] or facts.empty())
    local id, changed = slot and profiles.entity(slot).senior, {}
    add_traits(one, set, sum, id)
    local due = 0
    if sum then due = learn_states(one, set, sum, id, changed) else add_states(one, set, nil, changed) end
    local is_member = add_memberships(one, set, sum)
    if not slot or not (one.is_new or next(changed) or is_member) then return end
    profiles.sums[slot], profiles.is_summed[slot] = sum, true
    if next(changed) then profiles.arm_at(slot, sum, due) end
    if is_member then profiles.tell_memberships(one, slot, sum.known) end
  end

  -- What a message says of a link, and of nobody else.
  function profiles.add_to(set, one)
    local says = one.says
    for _, trait in ipairs(says.traits) do facts.add_trait(set, trait[1], one.origin, trait[2]) end
    for _, state in ipairs(says.states) do facts.add_state(set, state[1], one.origin, state[2]) end
    for _, run in ipairs(says.runs) do facts.add_run(set, run.name, one.instant, one.instant, run.gap) end
    for _, membership in ipairs(says.memberships) do
      facts.add_membership(set, membership[1], {first = one.origin, last = one.origin, has_ended = membership[2]})
    end
  end

  profiles.parse_message, profiles.add_staff = parse_message, add_staff

  local function read(messages)
    local handles, lists, homes, found = {}, {}, {}, {}
    for i, one in ipairs(messages) do handles[i], lists[i] = one.handle, one.keys end
    profiles.read_said(handles)
    profiles.read_homes(lists)
    for _, one in ipairs(messages) do
      if homes[one.keys] == nil then
        homes[one.keys] = profiles.home_of(one.keys) or false
        found[#found + 1] = homes[one.keys] or nil
      end
      one.slot = homes[one.keys]
    end
    profiles.read_sums(found)
  end

  function profiles.learn()
    local messages = {}
    for i = 1, n_facts do messages[i] = parse_message(ARGV[first_handle + 2 * n_links + i - 1]) end
    read(messages)
    for _, one in ipairs(messages) do
      if one.from then inherit(one) else learn(one) end
    end
  end
end
