-- Keep a record until an instant. `unique` tells it from others that are the same.
local function file(delayed, per_list, due, unique, list, record)
    if redis.call('ZADD', delayed, as_text(due), unique .. ':' .. record) == 1 then
        redis.call('HINCRBY', per_list, list, 1)
    end
end

local function unfile(delayed, per_list, list, member)
    if redis.call('ZREM', delayed, member) == 1 and redis.call('HINCRBY', per_list, list, -1) <= 0 then
        redis.call('HDEL', per_list, list)
    end
end

-- Put what is due in front of its list: what was due first is served first. A list that is none (another program's key)
-- gets another try in a minute. At most `most` records and 16 MiB. Returns how many were looked at, and the lists that got
-- something which others shall have first: that of which the unique part begins with "u", for "unknown".
local function promote(delayed, per_list, now, most)
    local until_now, members, room, for_others = as_text(now), {}, 16777216, {}
    while #members < most and room > 0 do
        local slice = redis.call('ZRANGEBYSCORE', delayed, '-inf', until_now, 'LIMIT', #members, math.min(20, most - #members))
        if #slice == 0 then break end
        for _, member in ipairs(slice) do
            members[#members + 1] = member
            room = room - #member
        end
    end
    for i = #members, 1, -1 do
        local member = members[i]
        local record = string.sub(member, string.find(member, ':', 1, true) + 1)
        local list, at = list_of(record)
        local pushed = redis.pcall('RPUSH', list, string.sub(record, at))
        if type(pushed) == 'table' then
            redis.call('ZADD', delayed, as_text(now + 60), member)
        else
            unfile(delayed, per_list, list, member)
            if string.sub(member, 1, 1) == 'u' then for_others[list] = true end
        end
    end
    return #members, for_others
end
