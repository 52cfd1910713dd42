-- Give one claimed message back to the front of its list, or keep it until `due`. Returns its size, or nil when it is
-- not held. `counted` false: nobody has had it in hands, and nothing is noted. The claim ends last.
local function give_back(held, tag, owner, counts, delayed, per_list, now, due, counted, crashes, node_losses, releases)
    local record = redis.call('HGET', held, tag)
    if not record then return nil end
    local list, at = list_of(record)
    if counted then count(counts, fingerprint(record, at), crashes, node_losses, releases, now) end
    if not due then
        local pushed = redis.pcall('RPUSH', list, string.sub(record, at))
        if type(pushed) == 'table' then due = now + 60 end -- the key is no list: kept where it is found again
    end
    local mark = (releases or 0) > 0 and 'u' or '' -- see `promote`
    if due then file(delayed, per_list, due, mark .. owner .. '.' .. tag, list, record) end
    redis.call('HDEL', held, tag)
    return #record
end

-- Give back a bounded share of all that an owner holds, its latest claims first, so that its first one comes to lie in
-- front. `started`: key of the tags against which the death of the node counts, or nil. Returns how many.
local function give_back_share(held, owner, started, counts, delayed, per_list, now, most)
    local tags, moved, room = redis.call('HKEYS', held), 0, 16777216
    table.sort(tags, function(one, other) return tonumber(one) > tonumber(other) end)
    for _, tag in ipairs(tags) do
        if moved >= most or room <= 0 then break end
        local losses = started and redis.call('SISMEMBER', started, tag) or 0
        local size = give_back(held, tag, owner, counts, delayed, per_list, now, nil, true, 0, losses, 0)
        moved, room = moved + 1, room - size
    end
    return moved
end
