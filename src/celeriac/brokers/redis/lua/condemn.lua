-- Declare an owner dead, unless it has raised its counter meanwhile.
--   KEYS  owners, epochs, beats (hashes), dying (set)
--   ARGV  owner, the counter at which it was seen standing still
-- Returns 1 when it is dead now. Its messages come back by `recover`, whoever runs it.
-- include fence
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
allow_when_full(KEYS[1])
redis.call('SADD', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
