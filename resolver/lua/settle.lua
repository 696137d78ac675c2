-- settle: nodes are told in which slot they are, now that the new answer is visible.
--
-- KEYS   1 nodes 2 moving (HASH each)
-- ARGV   identifier keys
-- Cost   linear in the keys
local NODES, MOVING = unpack(KEYS)
local keys = {}
for i = 1, #ARGV do keys[i] = ARGV[i] end
local slots, records, changed = fetch(MOVING, keys), fetch(NODES, keys), {}
for i, key in ipairs(keys) do
  if slots[i] and records[i] then changed[key] = struct.pack('>I4', slots[i]) .. string.sub(records[i], 5) end
end
save(NODES, changed)
drop(MOVING, keys)
return #keys
