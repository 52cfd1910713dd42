-- Say several things on channels, in their order.
--   ARGV  channel, envelope, channel, envelope, …
-- Returns nothing.
for i = 1, #ARGV, 2 do
    redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
