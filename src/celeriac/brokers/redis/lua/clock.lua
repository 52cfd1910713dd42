-- Tell this server's time in seconds since 1970, moved on by `ahead` seconds (0 but in tests).
local function server_now(ahead)
    local time = redis.call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000 + ahead
end

local function as_text(seconds)
    return string.format('%.6f', seconds)
end
