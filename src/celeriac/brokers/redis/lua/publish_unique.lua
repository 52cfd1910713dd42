-- Store messages of which some have unique keys, once however often it is asked.
--   KEYS  sent of this producer, its last answer, alive, delayed, delayed:counts, queues, replaced, unique, then those that the
--         plan names
--   ARGV  number of the batch, ahead, plan (msgpack), how many queues to remember, their names, then envelopes
-- The plan has for each message {list (KEYS), due or 0, unique word, key (KEYS) or 0, task id, seconds, mode}.
-- Returns {message, run that has its key, …}: what is left out, by position from 1. One that says 'raise' leaves all out.
-- Future messages are kept apart only while some node of ours lives, as in `publish`.
-- include clock
-- include records
-- include delayed
-- include lists
-- include unique
local sent = redis.call('GET', KEYS[1])
if sent and tonumber(sent) >= tonumber(ARGV[1]) then
    local kept = redis.call('GET', KEYS[2])
    local answer = kept and cmsgpack.unpack(kept)
    return answer and answer[1] == tonumber(ARGV[1]) and answer[2] or {}
end
local plan, now = cmsgpack.unpack(ARGV[3]), server_now(tonumber(ARGV[2]))
local first, taken = 4 + tonumber(ARGV[4]), {}
for i, m in ipairs(plan) do -- nothing is written before it is known that all can be
    local wrong = wrong_list(KEYS[m[1]])
    if wrong then return redis.error_reply(wrong) end
    if m[4] ~= 0 then
        local holder = taken[m[4]] or holder_of(KEYS[m[4]], now)
        if holder and m[7] == 'raise' then return {i, holder} end
        if not holder or m[7] == 'replace' then taken[m[4]] = m[5] end
    end
end
local left_out, apart = {}, nil
for i, m in ipairs(plan) do
    local list, due, envelope = KEYS[m[1]], m[2], ARGV[first + i]
    local holder = m[4] ~= 0 and take_unique(KEYS[m[4]], KEYS[7], KEYS[8], m[5], m[6], due, m[7], now)
    if holder then
        left_out[#left_out + 1] = i
        left_out[#left_out + 1] = holder
    else
        if due ~= 0 and apart == nil then
            local beat = redis.call('GET', KEYS[3])
            apart = beat and now - tonumber(beat) < 60
        end
        if due ~= 0 and apart then
            file(KEYS[4], KEYS[5], due, m[3], list, #list .. ':' .. list .. envelope)
        else
            redis.call('LPUSH', list, envelope)
        end
    end
end
for i = 5, 4 + tonumber(ARGV[4]) do redis.call('SADD', KEYS[6], ARGV[i]) end
redis.call('SET', KEYS[2], cmsgpack.pack({tonumber(ARGV[1]), left_out}), 'EX', 3600)
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600) -- last, as in `publish`
return left_out
