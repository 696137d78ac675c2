-- Reads what the new links name: their nodes, and the slots that lead to their entities.
--
-- nodes   identifier key -> node, or false for one that is not known yet
-- slots   slot number -> entity, or where it moved to
local nodes, slots = {}, {}

local function read_nodes(keys)
  local wanted, new, n = {}, {}, 0
  for _, key in ipairs(keys) do
    if nodes[key] == nil then
      nodes[key] = false
      n = n + 1
      wanted[n] = key
    end
  end
  local records = fetch(NODES, wanted)
  for i = 1, n do
    nodes[wanted[i]] = records[i] and parse_node(records[i])
    if not records[i] then new[#new + 1] = wanted[i] end
  end
  return new
end

local function load_slots()
  local wanted = {}
  local function want(slot)
    if not slots[slot] then
      slots[slot] = true
      wanted[#wanted + 1] = slot
    end
  end
  for _, node in pairs(nodes) do
    if node then want(node.slot) end
  end
  while #wanted > 0 do
    local asked = wanted
    wanted = {}
    local records = fetch(SLOTS, asked)
    for i, slot in ipairs(asked) do
      slots[slot] = parse_slot(records[i])
      if slots[slot].moved_to then want(slots[slot].moved_to) end
    end
  end
end
