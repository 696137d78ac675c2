-- The call: what the links and the operator event do, all in memory.

-- Links of what was erased in bounded calls are there until it is settled and cleared away: they are not known any more.
local function refuse_links()
  local keys = {}
  for i = 1, (job or has_unsettled) and has_marks and n_links or 0 do
    for _, key in ipairs(parse_link({'', ARGV[first_handle + n_links + i - 1]}).keys) do keys[#keys + 1] = key end
  end
  read_marks(keys)
  return refuse_erased(keys, {})
end

local function resolve_links()
  local gone = refuse_links()
  if gone then return gone end
  if n_cold == 0 then return end
  local links = {}
  for i = 1, n_cold do links[i] = parse_link(cold[i]) end
  local refusal = refuse_erased(load_nodes(links), {})
  if refusal then return refusal end
  load_slots()
  load_small(links)
  for i = 1, n_cold do introduce.link(links[i]) end
  if next(limits) then
    count(links)
    cross()
  end
  for i = 1, n_cold do resolve(links[i]) end
  rebuild(links[1])
  profiles.carry(links[1])
end

local function resolve_batch()
  local refusal = resolve_links()
  if watched.is_amending then
    watched.amend()
  elseif is_summing then
    profiles.sum_up()
  elseif not refusal then
    if n_facts > 0 then profiles.learn() end
    recent.learn()
  end
  return refusal
end

local function obey_operator()
  local refusal = obey()
  if not refusal then
    rebuild(command)
    profiles.carry(command)
  end
  return refusal
end

local n_gone_off, is_more = 0, false
if is_tick then n_gone_off, is_more = profiles.tick(tonumber(ARGV[8])) end

do
  local ok, refusal = pcall(operation ~= '' and obey_operator or resolve_batch)
  if not ok and refusal == LARGE then
    local reply = {'large'}
    for slot in pairs(dirty) do reply[#reply + 1] = slots[slot] and slots[slot].senior end
    return reply
  end
  if not ok and refusal == BUSY then return {'busy'} end
  if not ok then error(refusal, 0) end
  if type(refusal) == 'table' then return refusal end
end
