-- What a restructuring tells, in the order of docs/consuming.md: who left; how each entity fell apart, or is called now;
-- what became one; who is new or back.
local announce = {}

function announce.caused(cause, key)
  local entity_type = entity_type_of(key)
  if cause.entity_type == entity_type then return cause end
  return {position = cause.position, entity_type = entity_type}
end

function announce.keys_at(numbers)
  local keys = {}
  for i, n in ipairs(numbers) do keys[i] = region[n] end
  return keys
end

function announce.left()
  for _, one in ipairs(left) do
    local owner = one.slot ~= 0 and slots[one.slot].senior or one.key
    tell.quarantined(announce.caused(one.cause, one.key), owner, one.key, one.reason)
  end
end

function announce.old(slot)
  local was, pieces = slots[slot].senior, pieces_of[slot] or {}
  local cause = {position = dirty[slot].position, entity_type = slots[slot].entity_type}
  if wiped[slot] then return tell.erased(cause, was, wiped[slot]) end
  local alone = announce.keys_at(singles[slot] or {})
  local n = #pieces + #alone
  local told = 0
  if n == 1 and alone[1] and alone[1] ~= was then tell.relabelled(cause, alone[1], was) end
  if n > 1 then told = tell.singles(cause, was, alone, n) end
  for _, piece in ipairs(pieces) do
    local id = region[piece.senior]
    if id ~= was and n == 1 then
      tell.relabelled(cause, id, was)
    elseif id ~= was then
      told = told + 1
      tell.split(cause, was, id, told, n, announce.keys_at(piece.numbers))
    end
  end
end

-- What was an entity goes on under the id of the oldest of them.
function announce.pieces(pieces, cause)
  local oldest = pieces[1]
  for _, piece in ipairs(pieces) do
    if is_senior(piece.senior, oldest.senior) then oldest = piece end
  end
  for _, piece in ipairs(pieces) do
    if piece ~= oldest then tell.merged(cause, region[oldest.senior], region[piece.senior], piece.size) end
  end
  return region[oldest.senior]
end

function announce.part(part, default)
  if part.slot ~= 0 and not part.next then return end -- told with the entity that it comes from
  local pieces, fresh, new, piece = {}, {}, {}, part
  while piece do
    if piece.slot == 0 then fresh = announce.keys_at(piece.numbers) else pieces[#pieces + 1] = piece end
    piece = piece.next
  end
  local id = region[part.oldest]
  local called, cause = id, announce.caused(pieces[1] and dirty[pieces[1].slot] or default, id)
  for _, key in ipairs(fresh) do
    if not back[key] then new[#new + 1] = key end
  end
  if pieces[1] then
    called = announce.pieces(pieces, cause)
    for _, key in ipairs(new) do tell.added(cause, called, key) end
  elseif #new > 0 then
    tell.created(cause, id, new)
  end
  for _, key in ipairs(fresh) do
    if back[key] then tell.released(cause, called, key, back[key]) end
  end
  if called ~= id then tell.relabelled(cause, id, called) end
end

function announce.suspended()
  for field, one in pairs(refused) do suspended_now[field] = one.reason end
  for _, field in ipairs(has_suspended and admitted or {}) do no_longer_suspended[#no_longer_suspended + 1] = field end
end

rebuild = function(default)
  if not next(dirty) and #free == 0 and #left == 0 then return end
  gather(default)
  judge()
  take_ages()
  take_parts()
  announce.left()
  for _, slot in ipairs(old_slots) do announce.old(slot) end
  for _, part in ipairs(parts) do announce.part(part, default) end
  place_parts()
  announce.suspended()
end
