-- What the entity ids concerned go through: the last 20 changes of each are kept, of absorbed ids as well.
--
-- History record: 2 bytes length + entry, oldest first. An entry: 1 byte what (3 absorbed, 4 renamed, 5 was absorbed, 6 was
--   renamed, 7 split into, 8 split from, 9 quarantined, 10 released), 16 bytes key of the other id, 4 bytes identifiers
--   moved, 8 bytes generation, 8 bytes number of the transition, 2 bytes length + log position.
local HISTORY_LENGTH = 20
local remembered = {}

local function remember(what, cause, key, other, moved, told_as)
  local entry = struct.pack('>B', what) .. other
    .. struct.pack('>I4I8I8I2', moved, tonumber(generation), told_as, #cause.position) .. cause.position
  remembered[key] = remembered[key] or {}
  table.insert(remembered[key], entry)
end

local history_record, history_records
do
  history_record = function(old, entries)
    local all, at = {}, 1
    while at <= #old do
      local length = struct.unpack('>I2', old, at)
      all[#all + 1] = string.sub(old, at + 2, at + 1 + length)
      at = at + 2 + length
    end
    for _, entry in ipairs(entries) do all[#all + 1] = entry end
    local kept = {}
    for i = math.max(1, #all - HISTORY_LENGTH + 1), #all do kept[#kept + 1] = struct.pack('>I2', #all[i]) .. all[i] end
    return table.concat(kept)
  end

  history_records = function()
    local ids, records = {}, {}
    for key in pairs(remembered) do ids[#ids + 1] = key end
    local old = fetch(HISTORY, ids)
    for i, key in ipairs(ids) do records[key] = history_record(old[i] or '', remembered[key]) end
    return records
  end
end
