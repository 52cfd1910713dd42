-- Put answers into the list of one asker, in their order. An asker that is gone leaves them to expire.
--   KEYS  the list
--   ARGV  milliseconds for which they are kept, envelopes
-- Returns nothing.
for i = 2, #ARGV do
    redis.call('LPUSH', KEYS[1], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
