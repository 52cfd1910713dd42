-- Put what was heard into the lists of those who have heard it, once for each queue however many have heard it for that.
--   KEYS  pairs: list, and what notes that the queue has it (string)
--   ARGV  an envelope for each pair, then seconds for which the notes are kept
-- Returns how many were put into lists.
local put = 0
for i = 1, #KEYS, 2 do
    if redis.call('SET', KEYS[i + 1], 1, 'NX', 'EX', ARGV[#ARGV]) then
        redis.call('LPUSH', KEYS[i], ARGV[(i + 1) / 2])
        put = put + 1
    end
end
return put
