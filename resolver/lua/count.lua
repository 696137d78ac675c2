-- Guard 3: the partners of an identifier are counted, whatever is out of the graph. One with more than a rule allows is
-- quarantined. Until then its node lists the partners that count; from then on the quarantine has the oldest of them, by
-- which the reason is exact however late an event arrives, and which are never more than the limit and one.
--
-- Quarantine record: 1 byte number of limits crossed, times: 1 byte length + type of the partners, 2 bytes most,
--   2 bytes count, 4 bytes length of what follows, count times: 16 bytes partner, 2 bytes length + log position, youngest
--   first: a partner that comes later than that one is of no interest, which is nearly every one.
local quarantine, dirty_quarantine = {}, {} -- key -> type of the partners -> {most, count, packed or oldest}
local crossed = {}                          -- {key, limit} of this call

local quarantine_record
do
  local function pack_oldest(group)
    local parts = {}
    for i = #group.oldest, 1, -1 do
      local partner = group.oldest[i]
      parts[#parts + 1] = partner[1] .. struct.pack('>I2', #partner[2]) .. partner[2]
    end
    return table.concat(parts)
  end

  quarantine_record = function(groups)
    local parts, n = {}, 0
    for kind, group in pairs(groups) do
      n = n + 1
      local packed = group.packed or pack_oldest(group)
      parts[#parts + 1] = string.char(#kind) .. kind .. struct.pack('>I2I2I4', group.most, group.count, #packed) .. packed
    end
    return string.char(n) .. table.concat(parts)
  end
end

local function youngest(group)
  if group.oldest then return unpack(group.oldest[#group.oldest]) end
  local size = struct.unpack('>I2', group.packed, 17)
  return string.sub(group.packed, 1, 16), string.sub(group.packed, 19, 18 + size)
end

local read_quarantine, count, oldest_partners
do
  local function parse_quarantine(record)
    local groups, at = {}, 2
    for _ = 1, string.byte(record) do
      local length = string.byte(record, at)
      local kind = string.sub(record, at + 1, at + length)
      local most, count, size = struct.unpack('>I2I2I4', record, at + 1 + length)
      at = at + 9 + length
      groups[kind] = {most = most, count = count, packed = string.sub(record, at, at + size - 1)}
      at = at + size
    end
    return groups
  end

  read_quarantine = function(keys)
    local wanted = {}
    for _, key in ipairs(keys) do
      if nodes[key] and nodes[key].quarantined and not quarantine[key] then wanted[#wanted + 1] = key end
    end
    local records = fetch(QUARANTINE, wanted)
    for i, key in ipairs(wanted) do quarantine[key] = parse_quarantine(records[i]) end
  end

  local function take_apart(group)
    local at, packed, oldest = 1, group.packed, {}
    for i = group.count, 1, -1 do
      local size = struct.unpack('>I2', packed, at + 16)
      oldest[i] = {string.sub(packed, at, at + 15), string.sub(packed, at + 18, at + 17 + size)}
      at = at + 18 + size
    end
    group.oldest, group.packed = oldest, nil
    group.known = {}
    for _, partner in ipairs(oldest) do group.known[partner[1]] = partner[2] end
  end

  -- Where in the list a partner of this age is, or would be.
  local function place_of(oldest, key, position)
    local low, high = 1, #oldest + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if senior(oldest[middle][2], oldest[middle][1], position, key) then low = middle + 1 else high = middle end
    end
    return low
  end

  -- A partner at a position: kept if it is among the oldest. True if something changed.
  local function offer(group, key, position)
    local last_key, last_position = youngest(group)
    if not senior(position, key, last_position, last_key) then return false end
    if group.packed then take_apart(group) end
    local oldest, known = group.oldest, group.known
    local former = known[key]
    if former and not before(position, former) then return false end
    if former then
      table.remove(oldest, place_of(oldest, key, former))
    else
      known[table.remove(oldest)[1]] = nil
    end
    table.insert(oldest, place_of(oldest, key, position), {key, position})
    known[key] = position
    return true
  end

  local function holds(list, entry)
    local at = string.find(list, entry, 1, true)
    while at and at % 16 ~= 1 do at = string.find(list, entry, at + 1, true) end
    return at
  end

  -- What a call adds to a list of partners is put to it at its end: lists may be as long as limits are high.
  local counting = {}

  local function add_partner(key, node, kind, other)
    local list = node.partners and node.partners[kind] or ''
    counting[key] = counting[key] or {}
    local added = counting[key][kind] or {seen = {}, more = {}}
    if added.seen[other] or holds(list, other) then return false end
    counting[key][kind], added.seen[other] = added, true
    added.more[#added.more + 1] = other
    return #list / 16 + #added.more
  end

  local function count_against(limit, node, key, link)
    local kind = limit.partner_type
    local group = node.quarantined and quarantine[key] and quarantine[key][kind]
    local most
    for i, other in ipairs(link.keys) do
      if other ~= key and (kind == '' or type_of(link.names[i]) == kind) then
        if group then
          if offer(group, other, link.position) then dirty_quarantine[key] = true end
        else
          most = add_partner(key, node, kind, other) or most
        end
      end
    end
    if most and most > limit.most then crossed[#crossed + 1] = {key = key, limit = limit, link = link} end
  end

  count = function(links)
    for _, link in ipairs(links) do
      for i, key in ipairs(#link.keys > 1 and link.keys or {}) do
        local node = nodes[key]
        for _, limit in ipairs(limits[type_of(link.names[i])] or {}) do
          if not node.released and not node.blocked then count_against(limit, node, key, link) end
        end
      end
    end
    for key, kinds in pairs(counting) do
      local node = nodes[key]
      node.partners = node.partners or {}
      for kind, added in pairs(kinds) do
        node.partners[kind] = (node.partners[kind] or '') .. table.concat(added.more)
      end
    end
  end

  -- The oldest partners, from all links of the identifier.
  oldest_partners = function(key, limit)
    local handles = listed(nodes[key].links, nodes[key].older)
    read_links(handles)
    local others, seen, oldest = {}, {}, {}
    for _, handle in ipairs(handles) do
      for _, other in ipairs(link_of[handle] and link_of[handle].keys or {}) do others[#others + 1] = other end
    end
    read_nodes(others)
    for _, handle in ipairs(handles) do
      local link = link_of[handle]
      for _, other in ipairs(link and link.keys or {}) do
        if other ~= key and (limit.partner_type == '' or type_of(nodes[other].name) == limit.partner_type) then
          local known = seen[other]
          if not known or link.first_ms < known.first_ms
            or (link.first_ms == known.first_ms and before(link.position, known.position)) then seen[other] = link end
        end
      end
    end
    for other, link in pairs(seen) do oldest[#oldest + 1] = {other, link.position, link.first_ms} end
    table.sort(oldest, function(a, b)
      if a[3] ~= b[3] then return a[3] < b[3] end
      return senior(a[2], a[1], b[2], b[1])
    end)
    local n = #oldest
    for i = limit.most + 2, n do oldest[i] = nil end
    local known = {}
    for _, partner in ipairs(oldest) do known[partner[1]] = partner[2] end
    return {most = limit.most, count = #oldest, oldest = oldest, known = known}, n, seen
  end
end
