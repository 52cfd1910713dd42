-- Put delayed messages where Celery keeps them: into their lists, behind what waits there.
--   KEYS  delayed (sorted set), delayed:counts (hash), then lists: only messages of these; none: of all
--   ARGV  position to begin at, most messages
-- Returns {how many stay, list, how many were moved into it, …}: the next call begins that much further. What is due first
-- comes first, and each message leaves the set right after it is in its list. At most 16 MiB are moved.
-- include clock
-- include records
-- include delayed
-- include fence
allow_when_full(KEYS[2])
local wanted
for i = 3, #KEYS do
    wanted = wanted or {}
    wanted[KEYS[i]] = true
end
local members = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)
local stay, room, order, moved = 0, 16777216, {}, {}
for _, member in ipairs(members) do
    if room <= 0 then break end
    local record = string.sub(member, string.find(member, ':', 1, true) + 1)
    local list, at = list_of(record)
    local pushed = not wanted or wanted[list] or false
    if pushed then pushed = type(redis.pcall('LPUSH', list, string.sub(record, at))) ~= 'table' end
    if pushed then
        unfile(KEYS[1], KEYS[2], list, member)
        room = room - #record
        if not moved[list] then order[#order + 1] = list end
        moved[list] = (moved[list] or 0) + 1
    else
        stay = stay + 1
    end
end
local answer = {stay}
for _, list in ipairs(order) do
    answer[#answer + 1] = list
    answer[#answer + 1] = moved[list]
end
return answer
