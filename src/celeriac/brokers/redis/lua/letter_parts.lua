-- A dead letter is five fields, "<n>:<bytes>" each, and a record: when it died, why, key of its result, key of that one's
-- attempt, database of both.

-- Return the field that begins at a position, and the position behind it.
local function field(stored, at)
    local colon = string.find(stored, ':', at, true)
    local after = colon + 1 + tonumber(string.sub(stored, at, colon - 1))
    return string.sub(stored, colon + 1, after - 1), after
end

local function fields(stored)
    local found, at = {}, 1
    for i = 1, 6 do found[i], at = field(stored, at) end
    return found, at
end

-- Return the position at which the envelope begins.
local function envelope_at(stored)
    local _, at = fields(stored)
    return at
end
