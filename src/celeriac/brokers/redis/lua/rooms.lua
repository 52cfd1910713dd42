-- Concurrency limits. For each key of one there are
--   inside  hash: "<tag> <key of the hash of what its owner holds>" -> 1: who counts, as long as the claim stands
--   called  hash: fingerprint -> when: who was let out of the line, is in its list again, and has not come in yet
--   aside   list: scores of delayed messages that wait for room, the next one last
-- A call is forgotten after a minute, should its message never be claimed again.
local PUT_ASIDE_AT = 253402300799

local function inside_of(held, tag)
    return tag .. ' ' .. held
end

-- Count who is inside and who was called.
local function taken(inside, called, now)
    local here, away = 0, 0
    for _, entry in ipairs(redis.call('HKEYS', inside)) do
        local space = string.find(entry, ' ', 1, true)
        if redis.call('HEXISTS', string.sub(entry, space + 1), string.sub(entry, 1, space - 1)) == 1 then
            here = here + 1
        else
            redis.call('HDEL', inside, entry)
        end
    end
    local calls = redis.call('HGETALL', called)
    for i = 1, #calls, 2 do
        if tonumber(calls[i + 1]) > now - 60 then away = away + 1 else redis.call('HDEL', called, calls[i]) end
    end
    return here, away
end

-- Call as many of those that wait as there is room for. Returns how many.
local function let_in(limit, inside, called, aside, delayed, per_list, now)
    if redis.call('LLEN', aside) == 0 then return 0 end
    local here, away = taken(inside, called, now)
    local left, members = limit - here - away, {}
    while #members < left do
        local score = redis.call('LINDEX', aside, -1 - #members)
        if not score then break end
        local member = redis.call('ZRANGEBYSCORE', delayed, score, score)[1]
        if member then
            members[#members + 1] = member
        else
            redis.call('LREM', aside, -1, score) -- it was deleted
        end
    end
    for i = #members, 1, -1 do -- the first one comes to lie in front
        local record = string.sub(members[i], string.find(members[i], ':', 1, true) + 1)
        local list, at = list_of(record)
        redis.call('HSET', called, fingerprint(record, at), string.format('%d', now))
        local pushed = redis.pcall('RPUSH', list, string.sub(record, at))
        if type(pushed) == 'table' then
            redis.call('ZADD', delayed, as_text(now + 60), members[i]) -- the key is no list: see `promote`
        else
            unfile(delayed, per_list, list, members[i])
        end
    end
    if #members > 0 then redis.call('LTRIM', aside, 0, -1 - #members) end
    return #members
end

-- Let one claimed message in, or put it aside, which ends the claim. Returns 1 when it is in, else 0.
local function enter(tag, held, limit, inside, called, aside, delayed, per_list, last, now)
    local record = redis.call('HGET', held, tag)
    if not record then return 0 end
    local entry = inside_of(held, tag)
    if redis.call('HEXISTS', inside, entry) == 1 then return 1 end
    local here, away = taken(inside, called, now)
    local list, at = list_of(record)
    local name = fingerprint(record, at)
    local may = here + away < limit and redis.call('LLEN', aside) == 0
    if redis.call('HEXISTS', called, name) == 1 then may = here < limit end
    if may then
        redis.call('HSET', inside, entry, 1)
        redis.call('HDEL', called, name)
        return 1
    end
    local score = string.format('%.0f', PUT_ASIDE_AT + redis.call('INCR', last))
    file(delayed, per_list, tonumber(score), 'w' .. score, list, record)
    redis.call('LPUSH', aside, score)
    redis.call('HDEL', called, name)
    redis.call('HDEL', held, tag)
    return 0
end
