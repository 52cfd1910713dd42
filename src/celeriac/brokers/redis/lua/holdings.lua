-- Name what an owner holds.
--   KEYS  epochs, held
--   ARGV  owner, epoch
-- Returns {0, {tags}}, or {1} or {2} when refused (`fence`).
-- include fence
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
return {0, redis.call('HKEYS', KEYS[2])}
