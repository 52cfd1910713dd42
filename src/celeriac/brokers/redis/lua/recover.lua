-- Give back a share of what a dead owner held, and forget the owner when that was all.
--   KEYS  dying (set), held, started of the dead owner, counts, delayed, delayed:counts
--   ARGV  the dead owner, ahead, most messages
-- Returns {how many were given back, how many are left}.
-- include clock
-- include fence
-- include records
-- include counts
-- include delayed
-- include giving_back
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return {0, 0} end
allow_when_full(KEYS[4])
local now = server_now(tonumber(ARGV[2]))
local moved = give_back_share(KEYS[2], ARGV[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], now, tonumber(ARGV[3]))
local left = redis.call('HLEN', KEYS[2])
if left == 0 then
    redis.call('DEL', KEYS[3])
    redis.call('SREM', KEYS[1], ARGV[1])
end
return {moved, left}
