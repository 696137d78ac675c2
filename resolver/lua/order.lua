-- Byte order, by hand: Lua's `<` on strings follows the server's locale. Log positions and identifier keys are
-- made so that their byte order is the order that counts.
--
-- before(a, b)             a comes before b
-- senior(pos_a, key_a, pos_b, key_b)   a is older: lower log position, then smaller identifier key
local byte = string.byte

local function before(a, b)
  local shorter = math.min(#a, #b)
  for i = 1, shorter do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function senior(position_a, key_a, position_b, key_b)
  if position_a == position_b then return before(key_a, key_b) end
  return before(position_a, position_b)
end
