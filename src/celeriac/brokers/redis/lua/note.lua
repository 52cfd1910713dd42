-- Keep which claims an owner has handed to children.
--   KEYS  epochs, held, started
--   ARGV  owner, epoch, ahead, tags that have begun, tags that have ended
-- Returns {0}, or {1} or {2} when refused (`fence`).
-- include fence
-- include notes
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
allow_when_full(KEYS[1])
note(KEYS[3], KEYS[2], ARGV[4], ARGV[5])
return {0}
