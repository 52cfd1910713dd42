-- Return the list that a record names, and the position at which its envelope begins.
local function list_of(record)
    local colon = string.find(record, ':', 1, true)
    local length = tonumber(string.sub(record, 1, colon - 1))
    return string.sub(record, colon + 1, colon + length), colon + length + 1
end

-- Name an envelope in the hash of counts without looking into it: by its size and its end, where its delivery tag is.
local function fingerprint(record, at)
    return (#record - at + 1) .. ':' .. redis.sha1hex(string.sub(record, math.max(at, #record - 1023)))
end
