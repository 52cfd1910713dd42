-- Give claims back.
--   KEYS  epochs, held, started, counts, delayed, delayed:counts, bookings
--   ARGV  owner, epoch, ahead, tags that have begun, tags that have ended, plan (msgpack): for each claim
--         {tag, due or 0, 1 if anything is counted, crashes, releases, booking or 0}, in the order in which they are to be given back
-- Returns {1} when refused (`fence`), else {0, how many were given back}: what is not held is left alone.
-- include clock
-- include fence
-- include records
-- include counts
-- include delayed
-- include giving_back
-- include bookings
-- include notes
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands == 1 then return {1} end
if stands == 2 then return {0, 0} end
allow_when_full(KEYS[4])
local now, moved = server_now(tonumber(ARGV[3])), 0
if ARGV[4] ~= '' or ARGV[5] ~= '' then note(KEYS[3], KEYS[2], ARGV[4], ARGV[5]) end
for _, claim in ipairs(cmsgpack.unpack(ARGV[6])) do
    local due = claim[2] ~= 0 and claim[2] or nil
    local tag = string.format('%d', claim[1])
    if claim[6] ~= 0 then keep_booking(KEYS[2], tag, KEYS[7], claim[6], now) end
    if give_back(
        KEYS[2], tag, ARGV[1], KEYS[4], KEYS[5], KEYS[6], now, due, claim[3] == 1, claim[4], 0, claim[5]
    ) then
        moved = moved + 1
    end
end
return {0, moved}
