-- The records that the script reads, taken apart.
--
-- Node record: 4 bytes slot (0: in no entity), 2 bytes flags and length (flags * 2048 + length) + name, if flag 1 the
--                partners counted; then its links: '\1' if the handle that is its own key is among them, 4 bytes chunk of
--                older ones if there are any, 16 bytes for each other recent handle. The rest by 16 tells what is there.
--   Flags:     1 partners are counted, 2 released, 4 quarantined, 8 blocked by an operator, 16 of a group.
--   Partners:  1 byte number of types, times: 1 byte length + type ('' for any), 2 bytes count, 16 bytes for each partner.
-- Slot record: '\0', 4 bytes slot it moved to; or '\1', 1 byte entity type, 2 bytes flags and length + senior log position,
--                if flag 4 the values of unique types; 1 byte place of the senior identifier among the recent members, or
--                '\0' and its 16 bytes key; if there are older members, 4 bytes size and 4 bytes chunk of these; 16 bytes
--                for each recent member.
--   Flags:     1 tied to others by a suspended link, 2 holds an identifier that is to be apart from another, 4 has values,
--                8 is being restructured in bounded calls
--   Values:    1 byte count, times: 1 byte length + type, 16 bytes identifier key.
local FLAG = 2048

local function parse_link(item)
  local handle, message, record = item[1], item[2], item[3]
  local last, length = struct.unpack('>I6I2', message)
  local at = 9 + length
  local link = {handle = handle, record = record, last = last, position = string.sub(message, 9, 8 + length),
    entity_type = string.sub(message, at, at), keys = {}, names = {}, pairs = {}}
  local count, list = string.byte(message, at + 1), at + 1
  at = at + 2
  for i = 1, count do
    local name_length = struct.unpack('>I2', message, at + 16)
    link.keys[i] = string.sub(message, at, at + 15)
    link.names[i] = string.sub(message, at + 18, at + 17 + name_length)
    at = at + 18 + name_length
  end
  link.listed = string.sub(message, list, at - 1)
  while at < #message do
    table.insert(link.pairs, {string.sub(message, at, at + 15), string.sub(message, at + 16, at + 31)})
    at = at + 32
  end
  return link
end

local function parse_partners(record, at)
  local partners, groups = {}, string.byte(record, at)
  at = at + 1
  for _ = 1, groups do
    local length = string.byte(record, at)
    local kind = string.sub(record, at + 1, at + length)
    local count = struct.unpack('>I2', record, at + 1 + length)
    at = at + 3 + length
    partners[kind] = string.sub(record, at, at + 16 * count - 1)
    at = at + 16 * count
  end
  return partners, at
end

-- From where a node's links begin: where the handles are, chunk of older ones, whether its own key is one more.
local function tail_at(record, at)
  local rest = (#record - at + 1) % 16
  local has_own = rest % 4 == 1
  if has_own then at = at + 1 end
  if rest < 4 then return at, 0, has_own end
  return at + 4, (struct.unpack('>I4', record, at)), has_own
end

local function parse_node(key, record)
  local slot, length = struct.unpack('>I4I2', record)
  local flags = math.floor(length / FLAG)
  length = length % FLAG
  local node = {slot = slot, older = 0, name = string.sub(record, 7, 6 + length), links = '',
    entity_type = flags >= 16 and 'g' or 'p'}
  local at, has_own = 7 + length, nil
  if flags > 0 then
    node.released, node.quarantined, node.blocked = flags % 4 >= 2, flags % 8 >= 4, flags % 16 >= 8
    if flags % 2 == 1 then node.partners, at = parse_partners(record, at) end
  end
  at, node.older, has_own = tail_at(record, at)
  node.links = (has_own and key or '') .. string.sub(record, at)
  return node
end

-- Of a node record: slot, where the handles of its recent links begin, chunk of older ones, whether its own key is one more.
local function links_in(record)
  local slot, length = struct.unpack('>I4I2', record)
  local at = 7 + length % FLAG
  if math.floor(length / FLAG) % 2 == 0 then return slot, tail_at(record, at) end
  local groups = string.byte(record, at)
  at = at + 1
  for _ = 1, groups do
    local kind = string.byte(record, at)
    at = at + 3 + kind + 16 * struct.unpack('>I2', record, at + 1 + kind)
  end
  return slot, tail_at(record, at)
end

-- Of a node record: 2 bytes length + name.
local function name_in(record)
  local length = struct.unpack('>I2', record, 5)
  if length < FLAG then return string.sub(record, 5, 6 + length) end
  return struct.pack('>I2', length % FLAG) .. string.sub(record, 7, 6 + length % FLAG)
end

local function entity_type_in(record)
  return struct.unpack('>I2', record, 5) >= 16 * FLAG and 'g' or 'p'
end

local function parse_slot(record)
  if string.byte(record) == 0 then return {moved_to = struct.unpack('>I4', record, 2)} end
  local length = struct.unpack('>I2', record, 3)
  local flags = math.floor(length / FLAG)
  length = length % FLAG
  local slot = {entity_type = string.sub(record, 2, 2), size = 0, older = 0, senior = '', members = '',
    position = string.sub(record, 5, 4 + length), tied = flags % 2 == 1, apart = flags % 4 >= 2, job = flags >= 8}
  local at = 5 + length
  if flags % 8 >= 4 then
    slot.values = {}
    local count = string.byte(record, at)
    at = at + 1
    for _ = 1, count do
      local size_of = string.byte(record, at)
      slot.values[string.sub(record, at + 1, at + size_of)] = string.sub(record, at + 1 + size_of, at + 16 + size_of)
      at = at + 17 + size_of
    end
  end
  local place = string.byte(record, at)
  slot.senior, at = string.sub(record, at + 1, at + 16), place == 0 and at + 17 or at + 1
  if (#record - at + 1) % 16 == 8 then
    slot.size, slot.older = struct.unpack('>I4I4', record, at)
    at = at + 8
  else
    slot.size = (#record - at + 1) / 16
  end
  slot.members = string.sub(record, at)
  if place > 0 then slot.senior = string.sub(slot.members, 16 * place - 15, 16 * place) end
  return slot
end

-- Identifiers that no guard holds are in the graph.
local function in_graph(node)
  return node and not node.blocked and not node.quarantined
end

local slot_record
do
  local function values_section(values)
    local sections, n = {}, 0
    for kind, key in pairs(values) do
      n = n + 1
      sections[n] = string.char(#kind) .. kind .. key
    end
    return string.char(n) .. table.concat(sections)
  end

  slot_record = function(slot)
    if slot.moved_to then return '\0' .. struct.pack('>I4', slot.moved_to) end
    local values = slot.values and values_section(slot.values)
    local flags = (slot.tied and 1 or 0) + (slot.apart and 2 or 0) + (values and 4 or 0)
      + (slot.job and 8 or 0)
    local at = string.find(slot.members, slot.senior, 1, true) or 0
    local senior = at % 16 == 1 and string.char((at + 15) / 16) or '\0' .. slot.senior
    local rest = slot.older ~= 0 and struct.pack('>I4I4', slot.size, slot.older) or ''
    return '\1' .. slot.entity_type .. struct.pack('>I2', flags * FLAG + #slot.position) .. slot.position .. (values or '')
      .. senior .. rest .. slot.members
  end
end
