-- End claims, with all that follows from them.
--   KEYS  epochs, held, started, counts, delayed, delayed:counts, dead, dead:last, queues, replaced, unique,
--         bookings, then those that the plan names
--   ARGV  owner, epoch, ahead, database of the broker and of the results ('' twice when they are the same),
--         tags that have begun, tags that have ended, plan (msgpack), what must be empty before something is claimed (msgpack:
--         {version of what is revoked (KEYS), list (KEYS), …}, or '' when nothing is to be claimed), then the byte strings that
--         the plan names
-- The plan has for each claim {tag, 1 if it has counts, result or 0, {message, …} or 0, letter or 0}, and behind these what
-- it kept from others or 0, {result, …} of runs that never begin because of it, and what it does to joins, if there is
-- anything of the kind:
--   result   {key, key of the attempt (KEYS), record (ARGV), state, retries, lifetime in ms or 0 for ever}
--   message  {list (KEYS), envelope (ARGV), due or 0, unique word, tag or 0, and if it wants a unique key: that (KEYS), task
--            id, seconds, mode}. One with a tag is claimed under it when all lists are empty and nothing delayed is due, and
--            its record stands in the place of its envelope
--   kept     {unique key (KEYS) that ends with it or 0, id of its run, {limit, inside, called, aside (KEYS)} of its room or 0}
--   letter   {sorted set of its queue's letters (KEYS), queue, reason (ARGV)}
--   joins    {1 where items are in sorted sets, milliseconds for which results are kept, list for internal messages that
--            were kept (KEYS), {step, …}}; steps as join.lua has them, those that count with a message or 0 at their end
-- Returns {1} when refused (`fence`), else {0, {claims refused}, {claim, error, …}, {tag of a message that was claimed, …},
-- now, version of what is revoked}; claims are named by their position, from 1. When nobody is that owner any more all are
-- refused.
-- Claim by claim: the result is stored, joins are started and members counted, what follows published, the letter kept,
-- joins are ended, and the claim deleted last. One that fails on the way stays claimed and the others go on. It fails
-- before anything of it can be seen twice: its lists are looked at first, and what is done before it publishes may be
-- repeated. A join that is complete is taken when its message has been published: while that fails, it stays complete.
-- include clock
-- include fence
-- include records
-- include delayed
-- include lists
-- include notes
-- include results
-- include joins
-- include unique
-- include rooms
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands == 1 then return {1} end
local plan = cmsgpack.unpack(ARGV[8])
local held, refused, failed = KEYS[2], {}, {}
if stands == 2 then
    for i = 1, #plan do refused[i] = i end
    return {0, refused, failed, {}}
end
allow_when_full(KEYS[4])
local now = server_now(tonumber(ARGV[3]))
if ARGV[6] ~= '' or ARGV[7] ~= '' then note(KEYS[3], held, ARGV[6], ARGV[7]) end

local function look_at_lists(messages)
    for _, m in ipairs(messages) do
        local wrong = wrong_list(KEYS[m[1]])
        if wrong then error({err = wrong}) end
    end
end

local emptied, version, handed = {}, nil, {}
if ARGV[9] ~= '' then
    for i, at in ipairs(cmsgpack.unpack(ARGV[9])) do
        if i == 1 then version = KEYS[at] else emptied[#emptied + 1] = KEYS[at] end
    end
end

-- Say whether a message that is published now would be the next one to be claimed.
local function nothing_waits()
    return redis.call('EXISTS', unpack(emptied)) == 0
        and #redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', as_text(now), 'LIMIT', 0, 1) == 0
end

local function publish(messages)
    for _, m in ipairs(messages) do
        local list, envelope, due, unique, tag = KEYS[m[1]], ARGV[m[2]], m[3], m[4], m[5]
        if m[6] then take_unique(KEYS[m[6]], KEYS[10], KEYS[11], m[7], m[8], due, m[9], now) end
        if tag ~= 0 and nothing_waits() then
            redis.call('HSET', held, string.format('%d', tag), envelope)
            handed[#handed + 1] = tag
        elseif tag ~= 0 then
            local _, at = list_of(envelope)
            redis.call('LPUSH', list, string.sub(envelope, at))
        elseif due == 0 then
            redis.call('LPUSH', list, envelope)
        else
            file(KEYS[5], KEYS[6], due, unique, list, #list .. ':' .. list .. envelope)
        end
    end
end

local function bury(letter, tag, result)
    local record = redis.call('HGET', held, tag)
    local number = redis.call('INCR', KEYS[8])
    local fields = {as_text(now), ARGV[letter[3]], '', '', ''}
    if result ~= 0 then
        fields[3], fields[4], fields[5] = KEYS[result[1]], KEYS[result[2]], ARGV[5]
    end
    for i = 1, 5 do fields[i] = #fields[i] .. ':' .. fields[i] end
    redis.call('HSET', KEYS[7], number, table.concat(fields) .. record)
    redis.call('ZADD', KEYS[letter[1]], number, number)
    redis.call('SADD', KEYS[9], letter[2])
end

local touched, due = {}, {} -- join -> {claim, message or nil}; claim -> {{join, message or envelope}, …}

local function change_joins(i, steps)
    for _, step in ipairs(steps) do
        local kind, at, message = step[1], step[2], nil
        if kind == 1 then
            start_join(at, step[3], step[4] ~= 0 and ARGV[step[4]], step[5] ~= 0 and ARGV[step[5]])
        elseif kind == 2 then
            add_to_join(at, step[3])
        elseif kind == 3 then
            count_member(at, step[3], step[4] ~= 0 and step[4], ARGV[step[5]])
            message = step[6] ~= 0 and step[6] or nil
        end
        if kind ~= 4 then touched[at] = {i, message or touched[at] and touched[at][2]} end
    end
end

local function look_at_join(at, i, message)
    renew_join(at)
    if is_due(at, plan[i][8][1] == 1) then
        message = message or told_message(at)
        if message then
            due[i] = due[i] or {}
            table.insert(due[i], {at, message})
        end
    end
end

local function finish_joins(joins)
    for _, step in ipairs(joins[4]) do
        if step[1] == 4 then finish_join(step[2], joins[2]) end
    end
end

-- Publish the messages of joins that are complete, and note in `taken` that they are.
local taken = {}
local function publish_due(i)
    for _, one in ipairs(due[i]) do
        if type(one[2]) == 'table' then
            publish({one[2]})
        else
            redis.call('LPUSH', KEYS[plan[i][8][3]], one[2])
        end
        taken[#taken + 1] = one[1]
    end
end

local function look_at_lists_due(i)
    for _, one in ipairs(due[i]) do
        look_at_lists({type(one[2]) == 'table' and one[2] or {plan[i][8][3]}})
    end
end

local function attempt(i, work, ...)
    local ok, err = pcall(work, ...)
    if not ok then
        failed[#failed + 1] = i
        failed[#failed + 1] = type(err) == 'table' and err.err or tostring(err)
    end
    return ok
end

local accepted, seen, stored, joins = {}, {}, false, false
for i, claim in ipairs(plan) do
    local tag = string.format('%d', claim[1])
    if seen[tag] or redis.call('HEXISTS', held, tag) == 0 then
        refused[#refused + 1] = i
    elseif claim[4] == 0 or attempt(i, look_at_lists, claim[4]) then
        accepted[#accepted + 1] = i
        stored = stored or claim[3] ~= 0 or claim[7] ~= nil
        joins = joins or claim[8] ~= nil
    end
    seen[tag] = true
end

if stored then
    if ARGV[5] ~= '' then redis.call('SELECT', ARGV[5]) end
    local kept = {}
    for _, i in ipairs(accepted) do
        local r, ok = plan[i][3], true
        if r ~= 0 then ok = attempt(i, keep_result, KEYS[r[1]], KEYS[r[2]], ARGV[r[3]], r[4], r[5], r[6], 'store') end
        for _, o in ipairs(plan[i][7] or {}) do
            ok = ok and attempt(i, keep_result, KEYS[o[1]], KEYS[o[2]], ARGV[o[3]], o[4], o[5], o[6], 'store')
        end
        if ok and plan[i][8] then ok = attempt(i, change_joins, i, plan[i][8][4]) end
        if ok then kept[#kept + 1] = i end
    end
    accepted = kept
    local unclear = {}
    for at, told in pairs(touched) do
        if not attempt(told[1], look_at_join, at, told[1], told[2]) then unclear[told[1]] = true end
    end
    if next(unclear) then
        accepted = {}
        for _, i in ipairs(kept) do
            if not unclear[i] then accepted[#accepted + 1] = i end
        end
    end
    if ARGV[5] ~= '' then redis.call('SELECT', ARGV[4]) end
end

local ended = {}
for _, i in ipairs(accepted) do
    local claim = plan[i]
    local kept = claim[6] ~= 0 and claim[6] or nil
    if (not due[i] or attempt(i, look_at_lists_due, i))
        and (not (kept and kept[1] ~= 0) or attempt(i, free_unique, KEYS[kept[1]], KEYS[10], kept[2])) -- what follows may want it
        and (claim[4] == 0 or attempt(i, publish, claim[4]))
        and (not due[i] or attempt(i, publish_due, i))
        and (claim[5] == 0 or attempt(i, bury, claim[5], string.format('%d', claim[1]), claim[3]))
    then
        ended[#ended + 1] = i
    end
end

if joins then
    -- What fails here has been published, and is not published again: its join is kept until it expires.
    if ARGV[5] ~= '' then redis.call('SELECT', ARGV[5]) end
    for _, at in ipairs(taken) do pcall(take_for_good, at) end
    for _, i in ipairs(ended) do
        if plan[i][8] then pcall(finish_joins, plan[i][8]) end
    end
    if ARGV[5] ~= '' then redis.call('SELECT', ARGV[4]) end
end

local left = {}
for _, i in ipairs(ended) do
    local claim = plan[i]
    local tag = string.format('%d', claim[1])
    local kept = claim[6] ~= 0 and claim[6] or nil
    local room = kept and kept[3] or 0
    if claim[2] == 1 or kept then
        local record = redis.call('HGET', held, tag)
        local _, at = list_of(record)
        local name = fingerprint(record, at)
        redis.call('HDEL', KEYS[4], name)
        redis.call('HDEL', KEYS[12], name)
        if room ~= 0 then
            redis.call('HDEL', KEYS[room[2]], inside_of(held, tag))
            redis.call('HDEL', KEYS[room[3]], name)
        end
    end
    redis.call('HDEL', held, tag)
    if room ~= 0 then left[room[4]] = room end
end
for _, room in pairs(left) do
    -- What fails here is seen to by the next one who enters, or by `let_in`.
    pcall(let_in, room[1], KEYS[room[2]], KEYS[room[3]], KEYS[room[4]], KEYS[5], KEYS[6], now)
end
if #handed == 0 then return {0, refused, failed, handed} end
local revoked = redis.pcall('GET', version)
return {0, refused, failed, handed, as_text(now), type(revoked) == 'string' and revoked or '0'}
