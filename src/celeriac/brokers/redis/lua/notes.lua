-- Keep which claims an owner has handed to children: "tag tag …", those that have begun and those that have ended.
local function note(started, held, begun, ended)
    for tag in string.gmatch(begun, '%d+') do
        if redis.call('HEXISTS', held, tag) == 1 then redis.call('SADD', started, tag) end
    end
    for tag in string.gmatch(ended, '%d+') do redis.call('SREM', started, tag) end
end
