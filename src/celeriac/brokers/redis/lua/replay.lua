-- Put dead letters back into their lists. The FAILURE that was stored with a death is deleted: there will be another end.
--   KEYS  dead, counts, then for each letter the sorted set of its queue
--   ARGV  numbers
-- Returns for each letter 1, or 0 when it was not there.
-- include records
-- include letter_parts
-- include results
local answer = {}
for i, number in ipairs(ARGV) do
    local stored = redis.call('HGET', KEYS[1], number)
    answer[i] = stored and 1 or 0
    if stored then
        local found, at = fields(stored)
        local meta, attempt, database, list = found[3], found[4], found[5], found[6]
        redis.call('LPUSH', list, string.sub(stored, at))
        redis.call('HDEL', KEYS[2], fingerprint(stored, at))
        redis.call('ZREM', KEYS[i + 2], number)
        redis.call('HDEL', KEYS[1], number)
        if meta ~= '' then
            if database ~= '' then redis.call('SELECT', database) end
            local record = redis.call('GET', meta)
            if record and kept_as(record, attempt) == 'FAILURE' then redis.call('DEL', meta, attempt) end
        end
    end
end
return answer
