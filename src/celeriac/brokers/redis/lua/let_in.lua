-- Call those that wait for room, in case nobody else does: whoever was inside may have died.
--   KEYS  delayed, delayed:counts, rooms, then inside, called, aside of one room
--   ARGV  ahead, key of the limit, limit
-- Returns how many were called.
-- include clock
-- include records
-- include delayed
-- include rooms
local called = let_in(tonumber(ARGV[3]), KEYS[4], KEYS[5], KEYS[6], KEYS[1], KEYS[2], server_now(tonumber(ARGV[1])))
if redis.call('LLEN', KEYS[6]) == 0 then redis.call('HDEL', KEYS[3], ARGV[2]) end
return called
