-- Links that reconciliation is about to set right: what comes to them meanwhile is noted, so that what the log says of them up
-- to some offsets can be put in their place and nothing newer be lost.
--
-- And of whom anything is told from then on, or the same by another event, so that nobody is compared who is no longer as at that
-- instant.
--
-- WATCHED   '*' -> '': it is noted of whom something is told; 'e' and the key of such an id -> '';
--           '!' -> '': a restructuring became visible;
--           link handle -> what the events since say of it: '' nothing yet, or 6 bytes last instant, 2 bytes length + first
--           log position; 'f' and the handle -> messages of facts (`profiles`), 4 bytes length + message each
do
  local sub, told = string.sub, {}

  local function head_of(message)
    return sub(message, 1, 8 + struct.unpack('>I2', message, 7))
  end

  -- Last instant and first log position of a head.
  local function parse_head(head)
    local last, length = struct.unpack('>I6I2', head)
    return last, sub(head, 9, 8 + length)
  end

  local function younger_first(a, b)
    local a_ms, b_ms = struct.unpack('>I6', a), struct.unpack('>I6', b)
    return b_ms < a_ms or (a_ms == b_ms and before(b, a))
  end

  -- What two heads say together.
  local function joined(one, other)
    if one == '' then return other end
    local last, first = parse_head(one)
    local other_last, other_first = parse_head(other)
    if younger_first(first, other_first) then first = other_first end
    return struct.pack('>I6I2', math.max(last, other_last), #first) .. first
  end

  watched.head_of, watched.joined = head_of, joined

  function watched.facts(record)
    local found, at = {}, 1
    while record and at <= #record do
      local length = struct.unpack('>I4', record, at)
      found[#found + 1] = sub(record, at + 4, at + 3 + length)
      at = at + 4 + length
    end
    return found
  end

  -- What is known of an id is another than before, although nothing is told.
  function watched.take_said(entity_key)
    told['e' .. entity_key] = ''
  end

  -- Transitions 3 to 5 name another id first.
  function watched.take_told(kind, entity_key, rest)
    told['e' .. entity_key] = ''
    if kind >= 3 and kind <= 5 then told['e' .. sub(rest, 1, 16)] = '' end
  end

  function watched.note()
    if next(told) and redis.call('HEXISTS', watched.KEY, '*') == 1 then save(watched.KEY, told) end
    if watched.is_amending or is_summing or is_tick then return end
    local fields, said, records = {}, {}, {}
    for i = 1, n_links do
      local handle, head = ARGV[first_handle + i - 1], head_of(ARGV[first_handle + n_links + i - 1])
      fields[i], said[i] = handle, head
    end
    for i = 1, n_facts do
      local message = ARGV[first_handle + 2 * n_links + i - 1]
      fields[n_links + i], said[n_links + i] = sub(message, 1, 16), struct.pack('>I4', #message) .. message
    end
    for i, record in ipairs(fetch(watched.KEY, fields)) do
      local handle = fields[i]
      if record and i <= n_links then records[handle] = joined(records[handle] or record, said[i]) end
      if record and i > n_links then
        local field = 'f' .. handle
        records[field] = (records[field] or redis.call('HGET', watched.KEY, field) or '') .. said[i]
      end
    end
    save(watched.KEY, records)
  end
end
