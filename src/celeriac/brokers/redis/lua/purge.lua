-- Delete lists.
--   KEYS  the lists of one queue
-- Returns how many messages were in them.
local deleted = 0
for _, list in ipairs(KEYS) do
    deleted = deleted + redis.call('LLEN', list)
    redis.call('UNLINK', list)
end
return deleted
