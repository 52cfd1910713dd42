-- Let go of a lock, unless it expired and belongs to somebody else now.
--   KEYS  the lock (string)
--   ARGV  its token
-- Returns 1 when it was ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
