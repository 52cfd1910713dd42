-- Tell what is kept of a join, and keep others from publishing its body meanwhile if it is complete.
--   KEYS  six of the join, as joins.lua says
--   ARGV  '1' where items are in sorted sets
-- Returns {1} when somebody else is publishing the body, else {0, what is in .c or '', size or '', members added or '',
-- members that have ended, header or '', milliseconds until it expires}; {2} when nothing is kept.
-- Safe at every line: it changes nothing but who is to publish.

-- include joins

local ordered = ARGV[1] == '1'
local word = redis.call('GET', KEYS[5])
if word and word ~= 'done' and word ~= FOR_GOOD and word ~= FOR_NOW then return {1} end
if not word and redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3], KEYS[4]) == 0 then return {2} end
if is_due(1, ordered) then take_for_now(1) end
local ended = redis.call(ordered and 'ZCARD' or 'LLEN', KEYS[1])
local left = 0
for i = 1, 5 do left = math.max(left, redis.call('PTTL', KEYS[i])) end
return {
    0, word or '', redis.call('GET', KEYS[3]) or '', redis.call('GET', KEYS[2]) or '', ended,
    redis.call('GET', KEYS[6]) or '', left,
}
