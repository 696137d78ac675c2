-- Guard 4, and the components: the region's identifiers are united by what ties them. Where a unique type or an `apart`
-- pair has a say, edges are judged one after the other: `together`, newest first; synonyms; links, in log order.
-- `resolver/judge.py` tells the rule; both must do the same.
--
-- parent     number -> number, of every identifier of the region that is in the graph; false for the others
-- refused    field of the suspended hash -> {reason, roots}; admitted: fields
-- edges      {rank, numbers, field of the suspended hash, first_ms, position, keys}
local parent, sizes, values_at, aparts_at = {}, {}, {}, {}
local refused, admitted = {}, {}
local judge

local function root(n)
  local up = parent[n]
  while up ~= n do
    local above = parent[up]
    parent[n] = above
    n, up = above, parent[above]
  end
  return n
end

do
  local function is_constrained()
    return has_unique or next(aparts_at) ~= nil
  end

  -- One of a pair that an operator or a synonym ties: an edge, if both are in the graph; told once.
  local function tie(edges, told, rank, key, other, position)
    local keys = before(key, other) and {key, other} or {other, key}
    local field = (rank == 0 and 't' or 's') .. keys[1] .. keys[2]
    if told[field] then return end
    told[field] = true
    local a, b = number_of[keys[1]], number_of[keys[2]]
    if a and b and parent[a] and parent[b] then
      edges[#edges + 1] = {rank = rank, keys = keys, numbers = {a, b}, field = field, position = position}
    else
      admitted[#admitted + 1] = field
    end
  end

  -- What ties pairs of the region.
  local function all_pairs()
    local edges, told = {}, {}
    for key, entries in pairs(marks) do
      for _, entry in ipairs(number_of[key] and entries or {}) do
        if entry.what == 't' then tie(edges, told, 0, key, entry.other, entry.position) end
      end
    end
    for key, others in pairs(synonyms) do
      for _, other in ipairs(number_of[key] and others or {}) do tie(edges, told, 1, key, other) end
    end
    return edges
  end

  local function all_edges()
    local edges = all_pairs()
    for link = 1, n_links_at do
      local keys, numbers = {}, {}
      for at = first_end[link], first_end[link + 1] - 1 do
        local n = ends[at]
        keys[#keys + 1] = region[n] or n
        if parent[n] then numbers[#numbers + 1] = n end
      end
      edges[#edges + 1] = {rank = 2, keys = keys, numbers = numbers, field = handle_of[link], position = position_of(link),
        first_ms = link_ms[link]}
    end
    return edges
  end

  local function comes_first(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    if a.rank == 0 and a.position ~= b.position then return before(b.position, a.position) end
    if a.rank == 2 then
      if a.first_ms ~= b.first_ms then return a.first_ms < b.first_ms end
      if a.position ~= b.position then return before(a.position, b.position) end
    end
    return before(table.concat(a.keys), table.concat(b.keys))
  end

  local function roots_of(numbers)
    local roots, seen = {}, {}
    for _, n in ipairs(numbers) do
      local r = root(n)
      if not seen[r] then
        seen[r] = true
        roots[#roots + 1] = r
      end
    end
    return roots
  end

  local function conflict_of(roots)
    for _, kind in ipairs(unique_order) do
      local held
      for _, r in ipairs(roots) do
        local value = values_at[r] and values_at[r][kind]
        if value and held and held ~= value then return 'u' .. kind end
        held = held or value
      end
    end
    local at, least = {}, nil
    for _, r in ipairs(roots) do
      for _, key in ipairs(aparts_at[r] or {}) do at[key] = true end
    end
    for key in pairs(at) do
      for _, entry in ipairs(marks[key]) do
        if entry.what == 'a' and at[entry.other] and before(key, entry.other) then
          local pair = key .. entry.other
          if not least or before(pair, least) then least = pair end
        end
      end
    end
    return least and 'a' .. least
  end

  local function unite(roots)
    local host = roots[1]
    for _, r in ipairs(roots) do
      if sizes[r] > sizes[host] then host = r end
    end
    for _, r in ipairs(roots) do
      if r ~= host then
        parent[r], sizes[host] = host, sizes[host] + sizes[r]
        for kind, key in pairs(values_at[r] or {}) do
          values_at[host] = values_at[host] or {}
          values_at[host][kind] = key
        end
        for _, key in ipairs(aparts_at[r] or {}) do
          aparts_at[host] = aparts_at[host] or {}
          table.insert(aparts_at[host], key)
        end
      end
    end
  end

  local function prepare()
    local has_any_marks = next(marks) ~= nil
    for n = 1, n_region do
      local key = region[n]
      local is_in = unread[n] or in_graph(nodes[key])
      parent[n], sizes[n] = is_in and n or false, 1
      local kind = is_in and has_unique and type_of(name_of(key))
      if kind and unique_rank[kind] then values_at[n] = {[kind] = key} end
      if is_in and has_any_marks and marked(key, 'a') then aparts_at[n] = {key} end
    end
  end

  -- Where no rule has a say, the order does not matter.
  local function unite_all()
    for link = 1, n_links_at do
      local host
      for at = first_end[link], first_end[link + 1] - 1 do
        local r = parent[ends[at]] and root(ends[at])
        if r and host and r ~= host then
          if sizes[r] > sizes[host] then r, host = host, r end
          parent[r], sizes[host] = host, sizes[host] + sizes[r]
        else
          host = r or host
        end
      end
    end
    for _, edge in ipairs(all_pairs()) do
      local roots = roots_of(edge.numbers)
      if #roots > 1 then unite(roots) end
    end
  end

  judge = function()
    prepare()
    local constrained = is_constrained()
    if not constrained and not has_suspended then return unite_all() end
    local edges = all_edges()
    if constrained then table.sort(edges, comes_first) end
    for _, edge in ipairs(edges) do
      local roots = #edge.numbers > 1 and roots_of(edge.numbers) or {}
      local conflict = #roots > 1 and constrained and conflict_of(roots)
      if conflict then
        refused[edge.field] = {reason = conflict, roots = roots}
      else
        if #roots > 1 then unite(roots) end
        admitted[#admitted + 1] = edge.field
      end
    end
  end
end
