-- Become an owner.
--   KEYS  owners, epochs, beats (hashes), alive, format (strings)
--   ARGV  owner, its first epoch, incarnation (a JSON object), version of the format, ahead
-- Returns {0}, or {3, version} when what is stored here is of another version than the caller knows.
-- include clock
-- include fence
local version = redis.call('GET', KEYS[5])
if version and version ~= ARGV[4] then return {3, version} end
allow_when_full(KEYS[1])
local now = as_text(server_now(tonumber(ARGV[5])))
redis.call('SET', KEYS[5], ARGV[4])
redis.call('SET', KEYS[4], now)
-- The counter first: an owner without one could never be found dead.
redis.call('HSET', KEYS[3], ARGV[1], 0)
redis.call('HSET', KEYS[1], ARGV[1], '{"registered_at": ' .. now .. ', ' .. string.sub(ARGV[3], 2))
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return {0}
