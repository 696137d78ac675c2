-- What happened to entities in this call, for the profiles that go with them.
--
-- came     slot of an entity that others moved to -> array of {slot, members, older, cause}: the slots they came from
-- steps    what was told of ids, in order: {gone, now, entity_type}: what was the one is the other, or nothing
-- region   what was resolved anew: the slots of its entities (`old`, `new`), its links (`handles`), identifiers of `groups`
-- home_at  number of an identifier in the region -> its slot now.  placed: slot -> {senior, entity_type, cause} of its entity
-- erased   keys that this call erased
-- now      as of when timed states are, and EPOCH: 1970; both in milliseconds since the year 1
local profiles = {came = {}, steps = {}, region = nil, home_at = {}, placed = {}, erased = {}, is_on = false,
  EPOCH = 62135596800000, SAID = KEYS[18], PROFILES = KEYS[19], STAFF = KEYS[20], TIMERS = KEYS[21], UNSUMMED = KEYS[22], TIMELINES = KEYS[23],
  has_unsummed = false}

function profiles.move(from, to, gone, cause)
  if not profiles.is_on then return end
  local parts = profiles.came[to] or {}
  profiles.came[to] = parts
  parts[#parts + 1] = {slot = from, members = gone.members, older = gone.older, cause = cause}
  for _, one in ipairs(profiles.came[from] or {}) do parts[#parts + 1] = one end
end

function profiles.step(cause, gone, now)
  if profiles.is_on then profiles.steps[#profiles.steps + 1] = {gone = gone, now = now, entity_type = cause.entity_type} end
end
