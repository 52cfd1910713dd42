-- Make queues known as kombu does when it declares them, as far as the keys are what kombu makes of them.
--   KEYS  binding tables, and what else remembers queues (sets)
--   ARGV  as many members, one for each table
-- Returns how many were new.
local new = 0
for i = 1, #KEYS do
    local added = redis.pcall('SADD', KEYS[i], ARGV[i])
    if type(added) == 'number' then new = new + added end
end
return new
