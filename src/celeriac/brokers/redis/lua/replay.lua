-- Put dead letters back into their lists. The FAILURE that was stored with a death is deleted: there will be another end.
--   KEYS  dead, counts, replaced, unique, then for each letter the sorted set of its queue, and its unique key or again that
--   ARGV  ahead, then for each letter its number, the id of its run, seconds for which it has its unique key; 0: it has none
-- Returns for each letter 1, or 0 when it was not there.
-- include clock
-- include records
-- include letter_parts
-- include results
-- include unique
local answer, now = {}, server_now(tonumber(ARGV[1]))
for i = 1, (#ARGV - 1) / 3 do
    local number, task_id, lasts = ARGV[3 * i - 1], ARGV[3 * i], tonumber(ARGV[3 * i + 1])
    local stored = redis.call('HGET', KEYS[1], number)
    answer[i] = stored and 1 or 0
    if stored then
        local found, at = fields(stored)
        local meta, attempt, database, list = found[3], found[4], found[5], found[6]
        if lasts > 0 then take_unique(KEYS[2 * i + 4], KEYS[3], KEYS[4], task_id, lasts, 0, 'keep', now) end
        redis.call('LPUSH', list, string.sub(stored, at))
        redis.call('HDEL', KEYS[2], fingerprint(stored, at))
        redis.call('ZREM', KEYS[2 * i + 3], number)
        redis.call('HDEL', KEYS[1], number)
        if meta ~= '' then
            if database ~= '' then redis.call('SELECT', database) end
            local record = redis.call('GET', meta)
            if record and kept_as(record, attempt) == 'FAILURE' then redis.call('DEL', meta, attempt) end
        end
    end
end
return answer
