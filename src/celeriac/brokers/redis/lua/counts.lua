-- Note that a message was given back, and what that counts as: "crashes,node_losses,releases,redelivered,written_at".
local function count(counts, name, crashes, node_losses, releases, now)
    local entry = redis.call('HGET', counts, name)
    if entry then
        local c, n, r = string.match(entry, '^(%d+),(%d+),(%d+),')
        if c then crashes, node_losses, releases = crashes + c, node_losses + n, releases + r end
    end
    redis.call('HSET', counts, name, string.format('%d,%d,%d,1,%d', crashes, node_losses, releases, now))
end
