-- Store one message that may be claimed at once, once however often it is asked: what `publish` does, in a third less time.
--   KEYS  sent of this producer, list
--   ARGV  number of the batch, envelope
-- Returns 1, or 0 when this batch was stored before.
local sent = redis.call('GET', KEYS[1])
if sent and tonumber(sent) >= tonumber(ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
return 1
