-- The rules that the script needs: which identifiers are counted, and which types are unique.
--
-- Packed rules: 1 byte number of limits, times: 1 byte length + type, 1 byte length + type of the partners ('' for any),
--   2 bytes most; then 1 byte number of unique types, times: 1 byte length + type. A type is written as in a name.
local limits, unique_order, unique_rank = {}, {}, {} -- type -> {{partner type, most}}; types; type -> place

local function type_of(name)
  local first = string.byte(name)
  if first >= 128 then return string.sub(name, 1, 1) end
  return string.sub(name, 1, 1 + first)
end

do
  local packed, at = ARGV[4], 1
  local function sized()
    local length = string.byte(packed, at)
    at = at + 1 + length
    return string.sub(packed, at - length, at - 1)
  end
  local count = string.byte(packed, at)
  at = at + 1
  for _ = 1, count do
    local kind, partner_type = sized(), sized()
    local most = struct.unpack('>I2', packed, at)
    at = at + 2
    limits[kind] = limits[kind] or {}
    table.insert(limits[kind], {partner_type = partner_type, most = most})
  end
  count = string.byte(packed, at)
  at = at + 1
  for i = 1, count do
    unique_order[i] = sized()
    unique_rank[unique_order[i]] = i
  end
end
local has_unique = #unique_order > 0
