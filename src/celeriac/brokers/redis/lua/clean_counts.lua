-- Delete old notes of messages that somebody else has finished; a share of all of them at a time.
--   KEYS  counts, replaced or bookings: each entry ends with ",<when it was written>"
--   ARGV  cursor, '0' at first; seconds for which they are kept, ahead
-- Returns the next cursor.
-- include clock
local old_before = server_now(tonumber(ARGV[3])) - tonumber(ARGV[2])
local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
for i = 1, #scan[2], 2 do
    local written_at = tonumber(string.match(scan[2][i + 1], ',(%d+)$'))
    if not written_at or written_at < old_before then redis.call('HDEL', KEYS[1], scan[2][i]) end
end
return scan[1]
