-- Delete dead letters of which there are too many, and those that are too old; a bounded share.
--   KEYS  dead, then the sorted sets of queues
--   ARGV  most letters of one queue, seconds for which they are kept, ahead, most to delete per queue
-- Returns how many were deleted.
-- include clock
-- include letter_parts
local now, deleted = server_now(tonumber(ARGV[3])), 0
local keep, old_before, most = tonumber(ARGV[1]), now - tonumber(ARGV[2]), tonumber(ARGV[4])
for i = 2, #KEYS do
    local over = redis.call('ZCARD', KEYS[i]) - keep
    for at, number in ipairs(redis.call('ZRANGE', KEYS[i], 0, most - 1)) do
        if at > over then
            local stored = redis.call('HGET', KEYS[1], number)
            if stored and tonumber((field(stored, 1))) > old_before then break end
        end
        redis.call('ZREM', KEYS[i], number)
        deleted = deleted + redis.call('HDEL', KEYS[1], number)
    end
end
return deleted
