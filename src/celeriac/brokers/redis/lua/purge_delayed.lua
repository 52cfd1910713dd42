-- Delete the delayed messages of one queue; a share of all delayed messages at a time.
--   KEYS  delayed, delayed:counts, then the lists of the queue
--   ARGV  how many were looked at and left so far, most to look at
-- Returns {how many were deleted, how many were looked at and left, or -1 at the end, {envelopes of those that have a
-- unique key}}.
-- include clock
-- include records
-- include delayed
local mine, from, most = {}, tonumber(ARGV[1]), tonumber(ARGV[2])
local any = 0
for i = 3, #KEYS do
    mine[KEYS[i]] = true
    any = any + (tonumber(redis.call('HGET', KEYS[2], KEYS[i])) or 0)
end
if any <= 0 then return {0, -1, {}} end
local members, deleted, unique = redis.call('ZRANGE', KEYS[1], from, from + most - 1), 0, {}
for _, member in ipairs(members) do
    local record = string.sub(member, string.find(member, ':', 1, true) + 1)
    local list, at = list_of(record)
    if mine[list] then
        unfile(KEYS[1], KEYS[2], list, member)
        deleted = deleted + 1
        if string.find(record, '"celeriac_unique"', at, true) then unique[#unique + 1] = string.sub(record, at) end
    end
end
return {deleted, #members < most and -1 or from + #members - deleted, unique}
