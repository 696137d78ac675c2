-- What a restructuring tells, in the order of docs/consuming.md: who left; how each entity fell apart, or is called now;
-- what became one; who is new or back.
local function caused(cause, key)
  local entity_type = nodes[key].entity_type
  if cause.entity_type == entity_type then return cause end
  return {position = cause.position, entity_type = entity_type}
end

local function announce_left()
  for _, one in ipairs(left) do
    local owner = one.slot ~= 0 and slots[one.slot].senior or one.key
    tell.quarantined(caused(one.cause, one.key), owner, one.key, one.reason)
  end
end

local function announce_old(slot)
  local was, pieces = slots[slot].senior, pieces_of[slot] or {}
  local cause = {position = dirty[slot].position, entity_type = slots[slot].entity_type}
  if wiped[slot] then return tell.erased(cause, was, wiped[slot]) end
  local alone = singles[slot] or {}
  local n = #pieces + #alone
  local told = 0
  if n == 1 and alone[1] and alone[1] ~= was then tell.relabelled(cause, alone[1], was) end
  if n > 1 then told = tell.singles(cause, was, alone, n) end
  for _, piece in ipairs(pieces) do
    if piece.senior ~= was and n == 1 then
      tell.relabelled(cause, piece.senior, was)
    elseif piece.senior ~= was then
      told = told + 1
      tell.split(cause, was, piece.senior, told, n, piece.keys)
    end
  end
end

local function announce_pieces(part, cause)
  local oldest = part.pieces[1]
  for _, piece in ipairs(part.pieces) do
    if is_senior(piece.senior, oldest.senior) then oldest = piece end
  end
  for _, piece in ipairs(part.pieces) do
    if piece ~= oldest then tell.merged(cause, oldest.senior, piece.senior, #piece.keys) end
  end
  return oldest.senior
end

local function announce_part(part, default)
  local first = part.pieces[1]
  local cause = caused(first and dirty[first.slot] or default, part.senior)
  local id, new = part.senior, {}
  for _, key in ipairs(part.fresh) do
    if not back[key] then new[#new + 1] = key end
  end
  if first then
    id = announce_pieces(part, cause)
    for _, key in ipairs(new) do tell.added(cause, id, key) end
  elseif #new > 0 then
    tell.created(cause, id, new)
  end
  for _, key in ipairs(part.fresh) do
    if back[key] then tell.released(cause, id, key, back[key]) end
  end
  if id ~= part.senior then tell.relabelled(cause, part.senior, id) end
end

local function note_suspended()
  for field, one in pairs(refused) do suspended_now[field] = one.reason end
  for _, field in ipairs(has_suspended and admitted or {}) do no_longer_suspended[#no_longer_suspended + 1] = field end
end

rebuild = function(default)
  if not next(dirty) and #free == 0 and #left == 0 then return end
  gather(default)
  judge()
  take_ages()
  take_parts()
  announce_left()
  for _, slot in ipairs(old_slots) do announce_old(slot) end
  for _, part in ipairs(parts) do announce_part(part, default) end
  local kept = give_slots()
  for _, part in ipairs(parts) do write_part(part) end
  for slot, keys in pairs(singles) do write_singles(slot, keys) end
  point_nodes(kept)
  note_suspended()
end
