-- Joins of chords, in Celery's keys, so that its workers and ours finish one chord together. Included by every script that
-- changes joins; calls of `redis.call` go to the database of the results, which is selected. Six keys for each join,
-- side by side in KEYS; `at` is the position of the first:
--   .j   items of the members that have ended: a sorted set by index, or a list where `result_chord_ordered` is false
--   .t   how many members were added
--   .s   how many members it waits for; no join is complete without it
--   .d   which members are in .j: "<task id>:<index or +inf>"; ours besides, so that Celery deletes it with the rest:
--        "+" and the same for each that was added, "=" and the envelope of the internal message that the start told
--   .c   who publishes the body: "done" when that has happened, else the word of whoever does
--   saved group   what the body's lists are made of, if it gets any
-- Celery counts what is in .j and calls a join complete when that is .s + .t; in .d it looks for single members only.
-- Nothing here reads an item or an envelope. Nothing takes longer for a larger header, but `told_message`.

local JOIN_LASTS, JOINED_LASTS = 2592000000, 86400000 -- milliseconds; JOIN_EXPIRES, JOINED_EXPIRES
local FOR_GOOD = 'celeriac' -- in .c: the internal message is in its queue, for sure
local FOR_NOW, NOW = 'celeriac, for now', 60000 -- the same: somebody was told to publish it, within so many milliseconds

local function is_joined(at)
    return redis.call('GET', KEYS[at + 4]) == 'done'
end

-- Keep a join from now for its whole time: Celery lets it expire in a day. A group that is kept for ever stays so.
local function renew_join(at)
    for i = at, at + 5 do
        local left = redis.call('PTTL', KEYS[i])
        if i ~= at + 4 and (left >= 0 and left < JOIN_LASTS or left == -1 and i ~= at + 5) then
            redis.call('PEXPIRE', KEYS[i], JOIN_LASTS)
        end
    end
end

-- Begin to wait, unless somebody has before, or the join is complete.
local function start_join(at, size, envelope, header)
    if redis.call('EXISTS', KEYS[at + 2], KEYS[at + 4]) > 0 then return end
    if header then redis.call('SET', KEYS[at + 5], header, 'PX', JOIN_LASTS) end
    if envelope then redis.call('SADD', KEYS[at + 3], '=' .. envelope) end
    redis.call('SET', KEYS[at + 2], string.format('%d', size), 'NX', 'PX', JOIN_LASTS)
end

-- Wait for one member more.
local function add_to_join(at, member)
    if is_joined(at) or redis.call('SISMEMBER', KEYS[at + 3], '+' .. member) == 1 then return end
    redis.call('INCR', KEYS[at + 1])
    redis.call('SADD', KEYS[at + 3], '+' .. member)
end

-- Count a member that has ended; the first outcome stands. `score` is its index, or nil in a list. Also while somebody
-- sees to the body already: Celery before 5.7 may lower .s too far.
local function count_member(at, member, score, item)
    if is_joined(at) or redis.call('SISMEMBER', KEYS[at + 3], member) == 1 then return end
    if score then
        -- One run in two places has one item, which a set would keep once. With a blank behind it, it reads the same.
        local place = score == '+inf' and 'inf' or score
        local other = redis.call('ZSCORE', KEYS[at], item)
        while other and other ~= place do
            item = item .. ' '
            other = redis.call('ZSCORE', KEYS[at], item)
        end
        redis.call('ZADD', KEYS[at], 'NX', score, item)
    else
        redis.call('RPUSH', KEYS[at], item)
    end
    redis.call('SADD', KEYS[at + 3], member)
end

-- Say whether all have ended.
local function is_complete(at, ordered)
    local size = tonumber(redis.call('GET', KEYS[at + 2]) or '')
    if not size then return false end
    return redis.call(ordered and 'ZCARD' or 'LLEN', KEYS[at]) >= size + (tonumber(redis.call('GET', KEYS[at + 1]) or '') or 0)
end

-- Say whether the internal message is to be published: all have ended, and nobody else sees to it.
local function is_due(at, ordered)
    local word = redis.call('GET', KEYS[at + 4])
    return (not word or word == FOR_NOW) and is_complete(at, ordered)
end

-- Return the envelope that the start told, or nil. For members that cannot tell what to publish: it looks through all.
local function told_message(at)
    local cursor = '0'
    repeat
        local page = redis.call('SSCAN', KEYS[at + 3], cursor, 'MATCH', '=*', 'COUNT', 1000)
        if page[2][1] then return string.sub(page[2][1], 2) end
        cursor = page[1]
    until cursor == '0'
    return nil
end

-- Keep others from publishing until somebody has been able to. Celery from 5.7 respects it; Celery before that would
-- have to count a member again to publish the body as well.
local function take_for_now(at)
    redis.call('SET', KEYS[at + 4], FOR_NOW, 'PX', NOW)
end

-- The same for good, when the message is in its queue. Without .s the join is complete for nobody any more, whatever is
-- counted again, and by whom.
local function take_for_good(at)
    redis.call('SET', KEYS[at + 4], FOR_GOOD, 'PX', JOIN_LASTS)
    redis.call('UNLINK', KEYS[at + 2])
end

-- End a join whose body was published. What was saved of its group lives on for the lifetime of a result; 0 is for ever.
local function finish_join(at, lifetime_ms)
    redis.call('SET', KEYS[at + 4], 'done', 'PX', JOINED_LASTS)
    redis.call('UNLINK', KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[at + 3])
    if lifetime_ms > 0 and redis.call('PTTL', KEYS[at + 5]) > lifetime_ms then
        redis.call('PEXPIRE', KEYS[at + 5], lifetime_ms)
    end
end
