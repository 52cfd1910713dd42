-- Delete a share of what is in lists, where some of it may have unique keys.
--   KEYS  the lists of one queue
--   ARGV  most messages
-- Returns {how many were deleted, {envelopes of those that have a unique key}}. The header is looked for, not read.
local deleted, unique, most = 0, {}, tonumber(ARGV[1])
for _, list in ipairs(KEYS) do
    if deleted >= most then break end
    local envelopes = redis.call('LRANGE', list, deleted - most, -1)
    for _, envelope in ipairs(envelopes) do
        if string.find(envelope, '"celeriac_unique"', 1, true) then unique[#unique + 1] = envelope end
    end
    if #envelopes > 0 then redis.call('LTRIM', list, 0, -#envelopes - 1) end
    deleted = deleted + #envelopes
end
return {deleted, unique}
