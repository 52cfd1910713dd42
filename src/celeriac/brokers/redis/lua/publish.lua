-- Store messages, all of them or none, once however often it is asked.
--   KEYS  sent of this producer, alive, delayed, delayed:counts, queues, then lists
--   ARGV  number of the batch, ahead, how many queues to remember, their names, then runs of messages:
--         list (its position among them, from 1), how many, due or '', envelopes (each after a unique word when due is not '')
-- Returns 1, or 0 when this batch was stored before.
-- Future messages are kept apart only while some node of ours lives; else they lie in the list, as Celery has it.
-- include clock
-- include records
-- include delayed
-- include lists
local sent = redis.call('GET', KEYS[1])
if sent and tonumber(sent) >= tonumber(ARGV[1]) then return 0 end
for i = 6, #KEYS do -- nothing is written before it is known that all can be
    local wrong = wrong_list(KEYS[i])
    if wrong then return redis.error_reply(wrong) end
end
local at, apart = 4 + tonumber(ARGV[3]), nil
while at <= #ARGV do
    local list, many, due = KEYS[5 + tonumber(ARGV[at])], tonumber(ARGV[at + 1]), ARGV[at + 2]
    at = at + 3
    if due == '' then
        for first = at, at + many - 1, 500 do
            redis.call('LPUSH', list, unpack(ARGV, first, math.min(first + 499, at + many - 1)))
        end
        at = at + many
    else
        if apart == nil then
            local beat = redis.call('GET', KEYS[2])
            apart = beat and server_now(tonumber(ARGV[2])) - tonumber(beat) < 60
        end
        for i = at, at + 2 * many - 2, 2 do
            if apart then
                file(KEYS[3], KEYS[4], tonumber(due), ARGV[i], list, #list .. ':' .. list .. ARGV[i + 1])
            else
                redis.call('LPUSH', list, ARGV[i + 1])
            end
        end
        at = at + 2 * many
    end
end
for first = 4, 3 + tonumber(ARGV[3]), 500 do
    redis.call('SADD', KEYS[5], unpack(ARGV, first, math.min(first + 499, 3 + tonumber(ARGV[3]))))
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600) -- last: a batch that broke off is not taken for stored
return 1
