-- Delete dead letters.
--   KEYS  dead, then for each letter the sorted set of its queue
--   ARGV  numbers
-- Returns how many there were.
local deleted = 0
for i, number in ipairs(ARGV) do
    redis.call('ZREM', KEYS[i + 1], number)
    deleted = deleted + redis.call('HDEL', KEYS[1], number)
end
return deleted
