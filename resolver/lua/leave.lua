-- What leaves the graph, what comes back, and which entities that concerns: they are resolved anew, once, at the end.
--
-- dirty   slot -> what caused it (a link or an operator event): entities to be resolved anew
-- free    identifiers in the graph that have no entity yet, in order
-- new_unsettled   identifiers to be settled in bounded calls; new_touched: what a restructuring under way has to look at
-- left    identifiers that left the graph: {key, slot, link or command that caused it, reason}
local dirty, free, is_free, left, is_left = {}, {}, {}, {}, {}
local new_unsettled, new_touched = {}, {}

local function set_free(key)
  if is_free[key] then return end
  is_free[key] = true
  free[#free + 1] = key
end

-- Whatever happens to an identifier, its entity is resolved anew.
local function touch(key, cause)
  local node = nodes[key]
  if not in_graph(node) then return end
  if node.slot == 0 then return set_free(key) end
  local slot = home(node.slot)
  dirty[slot] = dirty[slot] or cause
end

local function leave(key, cause, reason)
  local node = nodes[key]
  local slot = node.slot ~= 0 and home(node.slot) or 0
  if slot ~= 0 then dirty[slot] = dirty[slot] or cause end
  is_left[key] = true
  left[#left + 1] = {key = key, slot = slot, cause = cause, reason = reason}
  node.slot, dirty_nodes[key] = 0, true
end

-- Quarantines what has crossed a limit, unless that is left to bounded calls.
local cross
do
  local function queued(keys)
    local found, known = {}, has_unsettled and fetch(UNSETTLED, keys) or {}
    for i, key in ipairs(keys) do found[key] = known[i] or nil end
    return found
  end

  cross = function()
    local keys = {}
    for i, one in ipairs(crossed) do keys[i] = one.key end
    local is_queued = queued(keys)
    for _, one in ipairs(crossed) do
      local key, limit = one.key, one.limit
      local node = nodes[key]
      if is_later and not is_queued[key] then
        new_unsettled[key] = new_unsettled[key] or one.link.position
      elseif not is_queued[key] and node.partners[limit.partner_type] then
        quarantine[key] = quarantine[key] or {}
        quarantine[key][limit.partner_type] = oldest_partners(key, limit)
        node.partners[limit.partner_type] = nil
        dirty_nodes[key], dirty_quarantine[key] = true, true
        if not node.quarantined then
          node.quarantined = true
          leave(key, one.link, {limit = limit, group = quarantine[key][limit.partner_type]})
        end
      end
    end
  end
end

-- Counts an identifier from all its links, as if it had just come: true if a limit is crossed.
local function recount(key)
  local node = nodes[key]
  node.partners, node.quarantined, quarantine[key] = nil, false, nil
  dirty_nodes[key], dirty_quarantine[key] = true, true
  for _, limit in ipairs(not node.released and not node.blocked and limits[type_of(node.name)] or {}) do
    local group, n, ages = oldest_partners(key, limit)
    if n > limit.most then
      quarantine[key] = quarantine[key] or {}
      quarantine[key][limit.partner_type] = group
      node.quarantined = true
    elseif n > 0 then
      local list = {}
      for other in pairs(ages) do list[#list + 1] = other end
      node.partners = node.partners or {}
      node.partners[limit.partner_type] = table.concat(list)
    end
  end
  return node.quarantined
end

local function first_reason(key)
  for kind, group in pairs(quarantine[key]) do
    return {limit = {partner_type = kind, most = group.most}, group = group}
  end
end
