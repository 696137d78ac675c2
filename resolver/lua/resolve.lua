-- One link after the other, in log order: its identifiers become one entity, under the id of the oldest of them.
local function resolve(link)
  local homes, slot = entities_of(link), nil
  local is_born = #homes == 0
  if is_born then
    slot = new_entity(link)
    emit_created(link)
  else
    slot = merge(link, homes)
  end
  for i, key in ipairs(link.keys) do
    if not nodes[key] then
      if not is_born then emit_added(link, slots[slot].senior, i) end
      add_member(slot, key, link.names[i])
    end
  end
  relabel(link, slot)
  if not link.record then attach(link, slot) end
end

local function link_record(link)
  local last = link.last
  if link.record then last = math.max(last, (struct.unpack('>I6', link.record))) end
  return struct.pack('>I6I2', last, #link.position) .. link.position .. table.concat(link.keys)
end

if n_todo > 0 then
  local links = {}
  for i = 1, n_todo do links[i] = parse_link(todo[i]) end
  load_nodes(links)
  load_slots()
  load_small(links)
  for i = 1, n_todo do
    resolve(links[i])
    changed_links[links[i].handle] = link_record(links[i])
  end
end
