-- Tell how the values of a hash end, a share of them at a time.
--   KEYS  held, or unacked
--   ARGV  cursor, '0' at first; most bytes of each
-- Returns {next cursor, {end, …}}; the last cursor is '0'.
local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local ends = {}
for i = 2, #scan[2], 2 do ends[#ends + 1] = string.sub(scan[2][i], -tonumber(ARGV[2])) end
return {scan[1], ends}
