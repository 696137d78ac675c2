-- values: entities are told which value they have of a type that is unique from now on. One with two values is to be
-- resolved anew: its second value is left to bounded calls.
--
-- KEYS   1 meta 2 nodes 3 slots 4 unsettled (HASH each)
-- ARGV   1 version of the rules  2 log position of the operator event that brought them  3 type, as in a name
--        4.. keys of identifiers of this type
-- Reply  1, or 0: the rules in force are others; nothing was changed
-- Cost   linear in the keys and in the slots on their way
local META, NODES, SLOTS, UNSETTLED = unpack(KEYS)
if redis.call('HGET', META, 'rules') ~= ARGV[1] then return 0 end
local kind, keys = ARGV[3], {}
for i = 4, #ARGV do keys[#keys + 1] = ARGV[i] end

local function home(slot)
  local record = redis.call('HGET', SLOTS, slot)
  if string.byte(record) == 0 then return home((struct.unpack('>I4', record, 2))) end
  return slot, record
end

local function with_value(record, key)
  local packed = struct.unpack('>I2', record, 3)
  local flags, length = math.floor(packed / FLAG), packed % FLAG
  local at, entry = 5 + length, string.char(#kind) .. kind .. key
  if flags % 8 >= 4 then
    local count = string.byte(record, at)
    return string.sub(record, 1, at - 1) .. string.char(count + 1) .. entry .. string.sub(record, at + 1)
  end
  local head = string.sub(record, 1, 2) .. struct.pack('>I2', packed + 4 * FLAG)
  return head .. string.sub(record, 5, at - 1) .. '\1' .. entry .. string.sub(record, at)
end

for i, record in ipairs(fetch(NODES, keys)) do
  local node = record and parse_node(keys[i], record)
  if in_graph(node) and node.slot ~= 0 then
    local slot, entity = home(node.slot)
    local held = (parse_slot(entity).values or {})[kind]
    if not held then
      redis.call('HSET', SLOTS, slot, with_value(entity, keys[i]))
    elseif held ~= keys[i] then
      redis.call('HSETNX', UNSETTLED, keys[i], ARGV[2])
    end
  end
end
return 1
