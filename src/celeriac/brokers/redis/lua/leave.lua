-- Stop being an owner: give back, uncounted, a share of what is still claimed; sign off when that was all.
--   KEYS  owners, epochs, beats, held, started, counts, delayed, delayed:counts, alive
--   ARGV  owner, ahead, most messages
-- Returns {how many were given back, how many are left}. From the first share on the owner can claim nothing.
-- include clock
-- include fence
-- include records
-- include counts
-- include delayed
-- include giving_back
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return {0, 0} end -- declared dead: its messages are seen to
allow_when_full(KEYS[6])
redis.call('HDEL', KEYS[2], ARGV[1])
local now = server_now(tonumber(ARGV[2]))
local moved = give_back_share(KEYS[4], ARGV[1], nil, KEYS[6], KEYS[7], KEYS[8], now, tonumber(ARGV[3]))
local left = redis.call('HLEN', KEYS[4])
if left == 0 then
    redis.call('DEL', KEYS[5])
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[3], ARGV[1])
    if redis.call('HLEN', KEYS[3]) == 0 then redis.call('DEL', KEYS[9]) end
end
return {moved, left}
