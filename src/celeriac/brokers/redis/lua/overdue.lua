-- Find what stock workers have not acknowledged in time.
--   KEYS  unacked (hash: tag to [envelope, exchange, routing key] as JSON), unacked_index (sorted set: tag by receipt)
--   ARGV  visibility timeout, ahead, most messages, most bytes together (a single one may weigh more), then tags to pass
--         over
-- Returns {tag, receipt, bytes, value or '' when it is larger than all that may be sent, or was acknowledged, …}: the
-- last received first, so that the first one comes to lie in front when each is put in front of those before. Reads only.
-- include clock
local before = server_now(tonumber(ARGV[2])) - tonumber(ARGV[1])
local most, room, passed, found = tonumber(ARGV[3]), tonumber(ARGV[4]), {}, {}
for i = 5, #ARGV do passed[ARGV[i]] = true end
local position, largest = 0, room
while #found < 4 * most do
    local slice = redis.call('ZREVRANGEBYSCORE', KEYS[2], as_text(before), '-inf', 'WITHSCORES', 'LIMIT', position, 100)
    if #slice == 0 then break end
    position = position + #slice / 2
    for i = 1, #slice, 2 do
        if #found >= 4 * most then break end
        if not passed[slice[i]] then
            local bytes = redis.call('HSTRLEN', KEYS[1], slice[i])
            if bytes <= largest and bytes > room then return found end
            local value = bytes <= largest and redis.call('HGET', KEYS[1], slice[i]) or ''
            room = room - #value
            found[#found + 1] = slice[i]
            found[#found + 1] = slice[i + 1]
            found[#found + 1] = bytes
            found[#found + 1] = value
        end
    end
end
return found
