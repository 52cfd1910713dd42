-- Keep messages as dead letters that no owner holds any more; once however often it is asked.
--   KEYS  sent of this producer, dead, dead:last, queues, then the sorted sets of the letters' queues
--   ARGV  number of the batch, ahead, how many queues, their names, then pairs: queue (its position from 1), letter
--         that has 0.000000 as the time of its death
-- Returns 1, or 0 when this batch was kept before.
-- include clock
-- include fence
local sent = redis.call('GET', KEYS[1])
if sent and tonumber(sent) >= tonumber(ARGV[1]) then return 0 end
allow_when_full(KEYS[2])
local died_at = as_text(server_now(tonumber(ARGV[2])))
local many = tonumber(ARGV[3])
for i = 4, 3 + many do redis.call('SADD', KEYS[4], ARGV[i]) end
for i = 4 + many, #ARGV, 2 do
    local number = redis.call('INCR', KEYS[3])
    redis.call('HSET', KEYS[2], number, #died_at .. ':' .. died_at .. string.sub(ARGV[i + 1], #'8:0.000000' + 1))
    redis.call('ZADD', KEYS[4 + tonumber(ARGV[i])], number, number)
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
return 1
