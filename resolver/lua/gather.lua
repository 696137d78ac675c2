-- What has to be resolved anew: the entities that something happened to, and all that are tied to them by links that were
-- suspended, with every link of their identifiers. Nothing outside can have a say in it.
--
-- region         identifier keys, those that left or were erased among them
-- region_links   the links of those in the graph
-- old_of         key -> slot of the entity that it belonged to (nil: none)
-- old_slots      the slots of those entities
local region, in_region, region_links, in_links = {}, {}, {}, {}
local old_of, old_slots, taken, members_of, chunks_of = {}, {}, {}, {}, {}
local waiting_keys = {}

local function want(key)
  if in_region[key] then return end
  in_region[key] = true
  region[#region + 1], waiting_keys[#waiting_keys + 1] = key, key
end

local function take_slot(slot, cause)
  if taken[slot] then return end
  if slots[slot].job then error(LARGE, 0) end
  taken[slot] = true
  old_slots[#old_slots + 1] = slot
  dirty[slot] = dirty[slot] or cause
  members_of[slot], chunks_of[slot] = listed(slots[slot].members, slots[slot].older)
  spend(#members_of[slot])
  for _, key in ipairs(members_of[slot]) do
    old_of[key] = slot
    want(key)
  end
end

local function reach(key, cause)
  if in_region[key] or not in_graph(nodes[key]) then return end
  if nodes[key].slot == 0 then
    set_free(key)
    want(key)
  else
    take_slot(home(nodes[key].slot), cause)
  end
end

-- The links of an identifier in the graph; of one that left only where a suspended one may have tied others to it.
local function links_to_follow(keys)
  local handles = {}
  for _, key in ipairs(keys) do
    local node = nodes[key]
    if in_graph(node) or (node and is_left[key] and has_suspended) then
      local links, n = node.links, #handles
      for at = 1, #links, 16 do
        local handle = string.sub(links, at, at + 15)
        if not in_links[handle] then
          in_links[handle], n = true, n + 1
          handles[n] = handle
        end
      end
      for _, handle in ipairs(node.older ~= 0 and listed('', node.older) or {}) do
        if not in_links[handle] then
          in_links[handle] = true
          handles[#handles + 1] = handle
        end
      end
    end
  end
  read_links(handles)
  return handles
end

local function step(cause)
  local keys = waiting_keys
  waiting_keys = {}
  read_nodes(keys)
  read_synonyms(keys)
  local others = {}
  for _, handle in ipairs(links_to_follow(keys)) do
    local link = link_of[handle]
    if link then
      region_links[#region_links + 1] = link
      for _, key in ipairs(link.keys) do
        if not in_region[key] then others[#others + 1] = key end
      end
    end
  end
  read_marks(keys)
  for _, key in ipairs(keys) do
    for _, other in ipairs(synonyms[key] or {}) do others[#others + 1] = other end
    for _, entry in ipairs(marks[key] or {}) do
      if entry.what == 't' then others[#others + 1] = entry.other end
    end
  end
  read_nodes(others)
  load_slots()
  for _, key in ipairs(others) do reach(key, cause) end
end

local function gather(cause)
  for slot in pairs(dirty) do take_slot(slot, cause) end
  for _, key in ipairs(free) do want(key) end
  for _, one in ipairs(left) do want(one.key) end
  while #waiting_keys > 0 do step(cause) end
end
