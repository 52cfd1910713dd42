-- Forget revocations that have expired, the oldest first, and the oldest of too many.
--   KEYS  revoked:versions, revoked (see `revoke`)
--   ARGV  most ids that are kept, ahead, most to look at
-- Returns how many were forgotten. One that expires before an older one is forgotten with that; nobody is told of it before.
-- include clock
local now, forgotten = server_now(tonumber(ARGV[2])), 0
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
for at, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)) do
    local entry = redis.call('HGET', KEYS[2], id)
    local ends = entry and tonumber(string.match(entry, '^%S+ %S+ (%S+) '))
    if at <= over or not ends or ends <= now then
        -- The hash first: what is left in the sorted set alone is found here again.
        redis.call('HDEL', KEYS[2], id)
        redis.call('ZREM', KEYS[1], id)
        forgotten = forgotten + 1
    end
end
return forgotten
