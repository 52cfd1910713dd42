-- Let claimed messages in where so many runs go on at a time, or put them aside.
--   KEYS  epochs, held, started, delayed, delayed:counts, aside:last, rooms (hash: key of a limit -> limit), then for each
--         room inside, called, aside (`rooms`)
--   ARGV  owner, epoch, ahead, tags that have begun, tags that have ended, how many rooms, their keys, their limits, then
--         pairs: tag, room (its position from 1)
-- Returns {1} or {2} when refused (`fence`), else {0, 1 if it is in else 0, …}: who is not in is not claimed any more.
-- include clock
-- include fence
-- include records
-- include delayed
-- include notes
-- include rooms
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
allow_when_full(KEYS[1])
local now, answer, many = server_now(tonumber(ARGV[3])), {0}, tonumber(ARGV[6])
note(KEYS[3], KEYS[2], ARGV[4], ARGV[5])
for i = 7 + 2 * many, #ARGV, 2 do
    local room = tonumber(ARGV[i + 1])
    local limit, at = tonumber(ARGV[6 + many + room]), 5 + 3 * room
    local is_in = enter(
        ARGV[i], KEYS[2], limit, KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[4], KEYS[5], KEYS[6], now
    )
    if is_in == 0 then redis.call('HSET', KEYS[7], ARGV[6 + room], ARGV[6 + many + room]) end
    answer[#answer + 1] = is_in
end
for room = 1, many do
    local at = 5 + 3 * room
    let_in(tonumber(ARGV[6 + many + room]), KEYS[at], KEYS[at + 1], KEYS[at + 2], KEYS[4], KEYS[5], now)
end
return answer
