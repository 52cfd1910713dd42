-- Delete a queue that was a node's own, with what leads to it.
--   KEYS  broadcasts, the queue's lists, binding tables (sets)
--   ARGV  queue, what the hash has of it, how many lists it has, as many members as there are tables
-- Returns 1, or 0 when another node has the queue now.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local lists = tonumber(ARGV[3])
for i = 2, 1 + lists do redis.call('DEL', KEYS[i]) end
for i = 2 + lists, #KEYS do redis.pcall('SREM', KEYS[i], ARGV[i - lists + 2]) end
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
