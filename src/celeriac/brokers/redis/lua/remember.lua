-- Remember queues that somebody consumes, so that people see them.
--   KEYS  queues (set), owners (hash)
--   ARGV  their names
-- Returns how many are new.
-- include fence
allow_when_full(KEYS[2])
local new = 0
for _, queue in ipairs(ARGV) do new = new + redis.call('SADD', KEYS[1], queue) end
return new
