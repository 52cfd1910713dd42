-- Change joins, and say which of them are complete; their internal messages are published elsewhere.
--   KEYS  six for each join, as joins.lua says
--   ARGV  1: '1' where items are in sorted sets, 2: milliseconds for which results are kept or 0 for ever, 3: steps
--         (msgpack), then the byte strings that they name
-- Steps, with positions in KEYS and ARGV:
--   {1, join, size, envelope or 0, header or 0}   start
--   {2, join, member}                             add one member
--   {3, join, member, score or 0, item, told}     count one; 1 when the caller knows what to publish
--   {4, join}                                     its body was published
-- Returns for each join that is complete its position, and the envelope that its start told or '' if no count told more.
-- Safe at every line: all of it may be done again.

-- include joins

local ordered, lifetime_ms = ARGV[1] == '1', tonumber(ARGV[2])
local touched, order, told = {}, {}, {}
for _, step in ipairs(cmsgpack.unpack(ARGV[3])) do
    local kind, at = step[1], step[2]
    if kind == 1 then
        start_join(at, step[3], step[4] ~= 0 and ARGV[step[4]], step[5] ~= 0 and ARGV[step[5]])
    elseif kind == 2 then
        add_to_join(at, step[3])
    elseif kind == 3 then
        count_member(at, step[3], step[4] ~= 0 and step[4], ARGV[step[5]])
        told[at] = told[at] or step[6] == 1
    else
        finish_join(at, lifetime_ms)
    end
    if touched[at] == nil then order[#order + 1] = at end
    touched[at] = kind ~= 4
end
local complete = {}
for _, at in ipairs(order) do
    if touched[at] then
        renew_join(at)
        if is_due(at, ordered) then
            take_for_now(at)
            complete[#complete + 1] = at
            complete[#complete + 1] = not told[at] and told_message(at) or ''
        end
    end
end
return complete
