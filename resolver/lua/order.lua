-- Byte order, by hand: Lua's `<` on strings follows the server's locale. Log positions and identifier keys are
-- made so that their byte order is the order that counts.
--
-- before(a, b)             a comes before b
-- senior(pos_a, key_a, pos_b, key_b)   a is older: lower log position, then smaller identifier key
local byte = string.byte

local function sixth(text, at)
  return (struct.unpack('>I6', text, at))
end

local function before(a, b)
  local shorter, at = math.min(#a, #b), 1
  while at + 5 <= shorter do -- six bytes at a time: a number that Lua holds exactly
    local x, y = sixth(a, at), sixth(b, at)
    if x ~= y then return x < y end
    at = at + 6
  end
  for i = at, shorter do
    local difference = byte(a, i) - byte(b, i)
    if difference ~= 0 then return difference < 0 end
  end
  return #a < #b
end

local function senior(position_a, key_a, position_b, key_b)
  if position_a == position_b then return before(key_a, key_b) end
  return before(position_a, position_b)
end
