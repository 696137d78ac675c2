-- One link after the other, in log order: its identifiers become one entity, under the id of the oldest of them. A link
-- that a guard may have a say in is left to the end, where the entities concerned are resolved anew.
introduce = {}

-- The node of an identifier that no link has named yet.
function introduce.node(link, i)
  local key = link.keys[i]
  nodes[key] = {slot = 0, older = 0, name = link.names[i], links = '', entity_type = link.entity_type,
    blocked = marked(key, 'b') ~= nil, released = marked(key, 'r') ~= nil}
  return nodes[key]
end

function introduce.link(link)
  for i, key in ipairs(link.keys) do
    if not nodes[key] then introduce.node(link, i) end
    if not link.record then
      local node = nodes[key]
      node.links, node.older = append(node.links, node.older, link.handle)
      dirty_nodes[key] = true
    end
  end
  link.ms, link.first_ms = link.last, struct.unpack('>I6', link.position)
  if link.record then link.ms = math.max(link.last, (struct.unpack('>I6', link.record))) end
  link_of[link.handle] = link
  changed_links[link.handle] = struct.pack('>I6I2', link.ms, #link.position) .. link.position
    .. (#link.keys > 1 and table.concat(link.keys) or '')
end

-- Whether uniting these could break a rule of guard 4, or what an operator said has to be asked first.
local function is_judged(keys, homes)
  local values, aparts = {}, 0
  local function meet(kind, key)
    local is_other = values[kind] and values[kind] ~= key
    values[kind] = key
    return is_other
  end
  for _, slot in ipairs(homes) do
    local entity = slots[slot]
    if dirty[slot] or entity.tied then return true end
    if entity.apart then aparts = aparts + 1 end
    for kind, key in pairs(entity.values or {}) do
      if meet(kind, key) then return true end
    end
  end
  for _, key in ipairs(keys) do
    if nodes[key].slot == 0 then
      if is_free[key] or marked(key, 't') then return true end
      if marked(key, 'a') then aparts = aparts + 1 end
      local kind = has_unique and type_of(nodes[key].name)
      if kind and unique_rank[kind] and meet(kind, key) then return true end
    end
  end
  return aparts > 1
end

local function defer(link, keys, homes)
  for _, key in ipairs(keys) do
    if nodes[key].slot == 0 then set_free(key) end
  end
  for _, slot in ipairs(homes) do dirty[slot] = dirty[slot] or link end
end

-- What may not be judged in this call: its new identifiers are persons of their own until it is.
local function postpone(link, keys, homes)
  for _, key in ipairs(keys) do
    new_unsettled[key] = link.position
    if nodes[key].slot == 0 then
      add_member(new_slot({entity_type = link.entity_type, size = 0, older = 0, senior = key, position = link.position,
        members = '', tied = true}), key)
      tell.created(link, key, {key})
    end
  end
  for _, slot in ipairs(homes) do slots[slot].tied, dirty_slots[slot] = true, true end
end

-- A region that is resolved anew beside this call has to look at what comes to it meanwhile.
local function note_touched(link, homes)
  local is_touched = false
  for _, slot in ipairs(homes) do is_touched = is_touched or slots[slot].job end
  for _, key in ipairs(link.keys) do
    is_touched = is_touched or (nodes[key].slot == 0 and redis.call('SISMEMBER', TOUCHED, 'k' .. key) == 1)
  end
  local now = is_touched and hold > 0 and redis.call('TIME')
  if now and now[1] * 1000 + now[2] / 1000 < hold then error(BUSY, 0) end
  if is_touched then new_touched[#new_touched + 1] = link.handle end
end

resolve = function(link)
  local keys = effective(link)
  local homes = entities_of(keys)
  if job == 'beside' then note_touched(link, homes) end
  if #keys == 0 then return end
  if is_judged(keys, homes) then return (is_later and postpone or defer)(link, keys, homes) end
  local is_born, slot = #homes == 0, nil
  if is_born then
    slot = new_slot({entity_type = link.entity_type, size = 0, older = 0, senior = keys[1], position = link.position,
      members = ''})
    if #keys == #link.keys then emit(1, link, keys[1], link.listed) else tell.created(link, keys[1], keys) end
  else
    slot = merge(link, homes)
  end
  for _, key in ipairs(keys) do
    if nodes[key].slot == 0 then
      if not is_born then tell.added(link, slots[slot].senior, key) end
      add_member(slot, key)
    elseif not link.record then
      nodes[key].slot = slot -- compresses the path of a node that is written anyway
    end
  end
  relabel(link, slot, keys[1])
end
