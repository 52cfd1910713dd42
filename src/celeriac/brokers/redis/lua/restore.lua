-- Put messages that stock workers have not acknowledged in front of their lists.
--   KEYS  unacked (hash), unacked_index (sorted set), then lists
--   ARGV  per message four: tag, receipt as it was seen, envelope, positions of its lists in KEYS ("3 4"; '' for what
--         was acknowledged already, and is in the index alone)
-- Returns {tag, error, …} of those that stay where they are, because a key of theirs is no list.
-- A message that somebody has restored, acknowledged or taken anew since is left alone: its receipt is another one. It is
-- forgotten by the stock workers last.
-- include fence
allow_when_full(KEYS[1])
local failed = {}
for i = 1, #ARGV, 4 do
    local tag = ARGV[i]
    if redis.call('ZSCORE', KEYS[2], tag) == ARGV[i + 1] then
        local wrong
        for position in string.gmatch(ARGV[i + 3], '%d+') do
            local key = KEYS[tonumber(position)]
            local kind = redis.call('TYPE', key).ok
            if kind ~= 'list' and kind ~= 'none' then wrong = 'the key ' .. key .. ' holds a ' .. kind end
        end
        if wrong then
            failed[#failed + 1] = tag
            failed[#failed + 1] = wrong
        else
            for position in string.gmatch(ARGV[i + 3], '%d+') do
                redis.call('RPUSH', KEYS[tonumber(position)], ARGV[i + 2])
            end
            redis.call('HDEL', KEYS[1], tag)
            redis.call('ZREM', KEYS[2], tag)
        end
    end
end
return failed
