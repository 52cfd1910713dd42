-- Open an inbox, or keep it open, and tell which others have expired.
--   KEYS  binding table of its exchange (set), when binding tables may go (sorted set: exchange -> server's time in ms),
--         inboxes (sorted set: inbox -> server's time in ms at which it expires)
--   ARGV  its member of the table, the exchange, milliseconds for which the table is kept, the inbox, the same for it
-- Returns at most 100 inboxes that have expired.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], 'GT', now + tonumber(ARGV[3]), ARGV[2])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), ARGV[4])
return redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 100)
