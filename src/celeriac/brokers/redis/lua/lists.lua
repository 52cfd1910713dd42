-- Say what is wrong with a key that messages are to be pushed onto, or return nil.
local function wrong_list(key)
    local kind = redis.call('TYPE', key).ok
    if kind == 'list' or kind == 'none' then return nil end
    return 'WRONGTYPE the key ' .. key .. ' holds a ' .. kind .. ' and not the messages of a queue'
end
