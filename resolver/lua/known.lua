-- Known links first: an event that says what a link says already moves the end of the link and nothing else. What is
-- new, or older than the evidence the link has, goes on to `unite`.
--
-- Link record: 6 bytes last instant, 2 bytes length + first log position, 16 bytes for each identifier key. The handle of a
--   link of one identifier is that identifier's key, and its record has none.
local changed_links = {}   -- handle -> record
local cold, n_cold = {}, 0 -- {handle, message, record or false}

do
  local handles = {}
  for i = 1, n_links do handles[i] = ARGV[first_handle + i - 1] end
  local records = fetch(LINKS, handles)
  local sub, unpack_head = string.sub, struct.unpack
  for i = 1, n_links do
    local message, record = ARGV[first_handle + n_links + i - 1], records[i]
    local is_new = true
    if record then
      local last_seen, length, first_seen = unpack_head('>I6I2I6', record)
      local last, message_length, first = unpack_head('>I6I2I6', message)
      if first > first_seen or (first == first_seen
          and not before(sub(message, 9, 8 + message_length), sub(record, 9, 8 + length))) then
        is_new = false
        if last > last_seen then changed_links[handles[i]] = sub(message, 1, 6) .. sub(record, 7) end
      end
    end
    if is_new then
      n_cold = n_cold + 1
      cold[n_cold] = {handles[i], message, record}
    end
  end
end
