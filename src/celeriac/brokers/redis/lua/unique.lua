-- Unique keys. Each is a string, "<unix instant at which it ends> <id of the run that has it>", which expires later than
-- that. `replaced` is a hash: id of a run -> "<id of the run that has its key in its place>,<when that was noted>". `in_use`
-- is there as long as any key may be.

-- Return the run that has a key now, or nil.
local function holder_of(key, now)
    local kept = redis.call('GET', key)
    if not kept then return nil end
    local ends, id = string.match(kept, '^(%S+) (.*)$')
    if ends and tonumber(ends) > now then return id end
    return nil
end

local function note_replaced(replaced, task_id, by, now)
    redis.call('HSET', replaced, task_id, string.format('%s,%d', by, now))
end

-- Give a message its key as far as `mode` has it; return who has the key when the message is to be left out, else nil.
-- `due` is the instant before which it cannot be claimed, or 0.
local function take_unique(key, replaced, in_use, task_id, lasts, due, mode, now)
    -- A replaced run is not to begin any more, and must be in nobody's way.
    if mode == 'keep' and redis.call('HEXISTS', replaced, task_id) == 1 then return nil end
    local holder = holder_of(key, now)
    if holder and mode ~= 'replace' then
        if mode == 'skip' or mode == 'raise' then return holder end
        if holder ~= task_id then
            if mode == 'yield' then note_replaced(replaced, task_id, holder, now) end
            return nil
        end
    elseif holder and holder ~= task_id then
        note_replaced(replaced, holder, task_id, now)
    end
    local ends = math.max(now, due) + lasts
    local left_ms = math.min(9e14, math.ceil((ends - now) * 1000) + 60000)
    if redis.call('PTTL', in_use) < left_ms then
        redis.call('SET', in_use, '1', 'PX', string.format('%.0f', left_ms + 3600000))
    end
    redis.call('SET', key, as_text(ends) .. ' ' .. task_id, 'PX', string.format('%.0f', left_ms))
    return nil
end

-- End what is kept of a unique run; a key that another run has is left alone.
local function free_unique(key, replaced, task_id)
    local kept = redis.call('GET', key)
    if kept and string.match(kept, '^%S+ (.*)$') == task_id then redis.call('DEL', key) end
    redis.call('HDEL', replaced, task_id)
end
