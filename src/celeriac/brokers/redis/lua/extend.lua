-- Show that an owner lives, and promote what is due for everybody.
--   KEYS  epochs, beats, held, started, alive, delayed, delayed:counts
--   ARGV  owner, epoch, ahead, tags that have begun, tags that have ended
-- Returns {0}, or {1} or {2} when refused (`fence`).
-- include clock
-- include fence
-- include records
-- include delayed
-- include notes
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
allow_when_full(KEYS[1])
local now = server_now(tonumber(ARGV[3]))
redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
redis.call('SET', KEYS[5], as_text(now))
note(KEYS[4], KEYS[3], ARGV[4], ARGV[5])
promote(KEYS[6], KEYS[7], now, 500)
return {0}
