-- Guard 3: the partners of an identifier are counted, whatever is out of the graph. One with more than a rule allows is
-- quarantined. Until then its node lists the partners that count; from then on the quarantine has the oldest of them, by
-- which the reason is exact however late an event arrives, and which are never more than the limit and one.
--
-- Quarantine record: 1 byte number of limits crossed, times: 1 byte length + type of the partners, 2 bytes most,
--   2 bytes count, times: 16 bytes partner, 2 bytes length + log position, oldest first.
local quarantine, dirty_quarantine = {}, {} -- key -> type of the partners -> {most, oldest = {{key, position}}}
local crossed = {}                          -- {key, limit} of this call

local function quarantine_record(groups)
  local parts, n = {}, 0
  for kind, group in pairs(groups) do
    n = n + 1
    parts[#parts + 1] = string.char(#kind) .. kind .. struct.pack('>I2I2', group.most, #group.oldest)
    for _, partner in ipairs(group.oldest) do
      parts[#parts + 1] = partner[1] .. struct.pack('>I2', #partner[2]) .. partner[2]
    end
  end
  return string.char(n) .. table.concat(parts)
end

local read_quarantine, count, oldest_partners
do
  local function parse_quarantine(record)
    local groups, at = {}, 2
    for _ = 1, string.byte(record) do
      local length = string.byte(record, at)
      local kind = string.sub(record, at + 1, at + length)
      local most, count = struct.unpack('>I2I2', record, at + 1 + length)
      at = at + 5 + length
      local oldest = {}
      for i = 1, count do
        local size = struct.unpack('>I2', record, at + 16)
        oldest[i] = {string.sub(record, at, at + 15), string.sub(record, at + 18, at + 17 + size)}
        at = at + 18 + size
      end
      groups[kind] = {most = most, oldest = oldest}
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

  -- A partner at a position: kept if it is among the oldest. True if something changed.
  local function offer(group, key, position)
    local oldest, place = group.oldest, #group.oldest + 1
    for i, partner in ipairs(oldest) do
      if partner[1] == key then
        if not before(position, partner[2]) then return false end
        table.remove(oldest, i)
        place = #oldest + 1
        break
      end
    end
    while place > 1 and senior(position, key, oldest[place - 1][2], oldest[place - 1][1]) do place = place - 1 end
    if place > group.most + 1 then return false end
    table.insert(oldest, place, {key, position})
    oldest[group.most + 2] = nil
    return true
  end

  local function holds(list, entry)
    local at = string.find(list, entry, 1, true)
    while at and at % 16 ~= 1 do at = string.find(list, entry, at + 1, true) end
    return at
  end

  local function count_against(limit, node, key, link)
    local group = node.quarantined and quarantine[key] and quarantine[key][limit.partner_type]
    local list = node.partners and node.partners[limit.partner_type] or ''
    local length = #list
    for i, other in ipairs(link.keys) do
      if other ~= key and (limit.partner_type == '' or type_of(link.names[i]) == limit.partner_type) then
        if group then
          if offer(group, other, link.position) then dirty_quarantine[key] = true end
        elseif not holds(list, other) then
          list = list .. other
        end
      end
    end
    if #list == length then return end
    node.partners = node.partners or {}
    node.partners[limit.partner_type] = list
    if #list / 16 > limit.most then crossed[#crossed + 1] = {key = key, limit = limit, link = link} end
  end

  count = function(link)
    if #link.keys < 2 then return end
    for i, key in ipairs(link.keys) do
      local node = nodes[key]
      for _, limit in ipairs(limits[type_of(link.names[i])] or {}) do
        if not node.released and not node.blocked then count_against(limit, node, key, link) end
      end
    end
  end

  -- The oldest partners, from all links of the identifier.
  oldest_partners = function(key, limit)
    local handles = listed(nodes[key].links, nodes[key].older)
    read_links(handles)
    local others, group, seen = {}, {most = limit.most, oldest = {}}, {}
    for _, handle in ipairs(handles) do
      for _, other in ipairs(link_of[handle] and link_of[handle].keys or {}) do others[#others + 1] = other end
    end
    read_nodes(others)
    for _, handle in ipairs(handles) do
      local link = link_of[handle]
      for _, other in ipairs(link and link.keys or {}) do
        if other ~= key and (limit.partner_type == '' or type_of(nodes[other].name) == limit.partner_type) then
          if not seen[other] or before(link.position, seen[other]) then seen[other] = link.position end
        end
      end
    end
    local n = 0
    for other, position in pairs(seen) do
      offer(group, other, position)
      n = n + 1
    end
    return group, n, seen
  end
end
