-- Put dead letters back into their lists. The FAILURE that was stored with a death is deleted: there will be another end.
--   KEYS  dead, counts, replaced, unique, then for each letter the sorted set of its queue, and its unique key or again that
--   ARGV  ahead, then for each letter its number, the id of its run, seconds for which it has its unique key; 0: it has none
-- Returns for each letter 1, or 0 when it was not there.
-- include clock
-- include records
-- include letter_parts
-- include results
-- include unique
local answer, ends, now = {}, {}, server_now(tonumber(ARGV[1]))
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
        -- Those of this database in front, the others last: from then on another database is selected.
        if meta ~= '' then table.insert(ends, database == '' and 1 or #ends + 1, {meta, attempt, database}) end
    end
end
for _, kept in ipairs(ends) do
    if kept[3] ~= '' then redis.call('SELECT', kept[3]) end
    local record = redis.call('GET', kept[1])
    if record and kept_as(record, kept[2]) == 'FAILURE' then redis.call('DEL', kept[1], kept[2]) end
end
return answer
