-- Begin a new epoch of an owner, after a call that was not answered: what is still on its way from before is refused from
-- here on, and the claims among it that did take place are given back.
--   KEYS  epochs, held, counts, delayed, delayed:counts
--   ARGV  owner, new epoch, ahead, then pairs: first tag and number of tags of claims that were not answered
-- Returns {0, how many were given back}, or {1} when a later epoch has begun, {2} when nobody is that owner.
-- include clock
-- include fence
-- include records
-- include counts
-- include delayed
-- include giving_back
local current = redis.call('HGET', KEYS[1], ARGV[1])
if not current then return {2} end
if tonumber(current) > tonumber(ARGV[2]) then return {1} end
allow_when_full(KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if #ARGV == 3 then return {0, 0} end
local now, moved, tags = server_now(tonumber(ARGV[3])), 0, {}
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    local tag = tonumber(name)
    for i = 4, #ARGV, 2 do
        local first = tonumber(ARGV[i])
        if tag >= first and tag < first + tonumber(ARGV[i + 1]) then tags[#tags + 1] = tag end
    end
end
table.sort(tags, function(one, other) return one > other end)
for _, tag in ipairs(tags) do
    local name = string.format('%d', tag)
    if give_back(KEYS[2], name, ARGV[1], KEYS[3], KEYS[4], KEYS[5], now, nil, false) then moved = moved + 1 end
end
return {0, moved}
