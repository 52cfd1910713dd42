-- Count what an owner holds, by list; a share of it at a time.
--   KEYS  held
--   ARGV  cursor, '0' at first
-- Returns {next cursor, {list, how many, …}}; the last cursor is '0'.
-- include records
local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local counts, answer = {}, {}
for i = 2, #scan[2], 2 do
    local list = list_of(scan[2][i])
    counts[list] = (counts[list] or 0) + 1
end
for list, many in pairs(counts) do
    answer[#answer + 1] = list
    answer[#answer + 1] = many
end
return {scan[1], answer}
