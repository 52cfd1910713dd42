-- Read lists and the delayed set, so that whoever asks is told when they change (CLIENT TRACKING).
--   KEYS  delayed, then lists
-- Returns {how many of the lists hold something, instant at which the next delayed message is due or ''}.
local first, filled = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES'), 0
if #KEYS > 1 and redis.call('EXISTS', unpack(KEYS, 2)) > 0 then
    for i = 2, #KEYS do
        local length = redis.pcall('LLEN', KEYS[i])
        if type(length) == 'number' and length > 0 then filled = filled + 1 end
    end
end
return {filled, first[2] or ''}
