-- Say whether a call may act for an owner: 0 it may; 1 it was sent over a connection that the owner has given up since;
-- 2 nobody is that owner, or not any more.
local function standing(epochs, owner, epoch)
    local current = redis.call('HGET', epochs, owner)
    if current == epoch then return 0 end
    return current and 1 or 2
end

-- Run on a full server too: Redis asks for room before the first write of a script only, and this one needs none.
local function allow_when_full(key)
    redis.call('HDEL', key, '')
end
