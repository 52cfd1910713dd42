-- Take a lock, for a while.
--   KEYS  the lock (string), a hash or nothing (by which this runs on a full server too)
--   ARGV  token, milliseconds after which the lock is free again
-- Returns 1 when it is ours now.
-- include fence
allow_when_full(KEYS[2])
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
