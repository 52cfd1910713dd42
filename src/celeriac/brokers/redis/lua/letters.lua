-- Read dead letters; of large ones what comes before the envelope, and its end.
--   KEYS  dead
--   ARGV  numbers
-- Returns for each {what comes before the envelope, the envelope or its end, bytes left out in between}, or {} when there
-- is none of that number.
-- include letter_parts
local answer = {}
for i, number in ipairs(ARGV) do
    local stored = redis.call('HGET', KEYS[1], number)
    if not stored then
        answer[i] = {}
    else
        local at = envelope_at(stored)
        local from = math.max(at, #stored - 65535)
        answer[i] = {string.sub(stored, 1, at - 1), string.sub(stored, from), from - at}
    end
end
return answer
