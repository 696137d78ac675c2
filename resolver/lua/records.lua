-- The records that the script reads, taken apart.
--
-- Node record: 4 bytes slot, 4 bytes chunk of older links, 2 bytes length + name, 16 bytes for each recent link handle.
-- Slot record: '\0', 4 bytes slot it moved to; or '\1', 1 byte entity type, 4 bytes size, 4 bytes chunk of older members,
--              16 bytes senior identifier key, 2 bytes length + senior log position, 16 bytes for each recent member.
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

local function parse_node(record)
  local slot, older, length = struct.unpack('>I4I4I2', record)
  return {slot = slot, older = older, name = string.sub(record, 11, 10 + length), links = string.sub(record, 11 + length)}
end

local function parse_slot(record)
  if string.byte(record) == 0 then return {moved_to = struct.unpack('>I4', record, 2)} end
  local size, older = struct.unpack('>I4I4', record, 3)
  local length = struct.unpack('>I2', record, 27)
  return {entity_type = string.sub(record, 2, 2), size = size, older = older, senior = string.sub(record, 11, 26),
    position = string.sub(record, 29, 28 + length), members = string.sub(record, 29 + length)}
end
