-- Keep that ids are revoked.
--   KEYS  revoked:version (string), revoked:versions (sorted set: id by version),
--         revoked (hash: id -> "<version> <at> <expires_at> <what it says>")
--   ARGV  for each: id, at, expires_at, seconds after which it is news though it says the same ('inf': never), seconds by
--         which it must last longer for that, what it says
-- Returns the positions of those that are news, from 1.
-- Each is in the sorted set before it is in the hash: a reader passes over what is in the one alone, and whoever revokes
-- again does both.
-- include fence
allow_when_full(KEYS[3])
local news = {}
for i = 1, #ARGV, 6 do
    local id, at, ends, again, longer, said = unpack(ARGV, i, i + 5)
    local kept = redis.call('HGET', KEYS[3], id)
    local kept_at, kept_ends, kept_said = string.match(kept or '', '^%S+ (%S+) (%S+) (.*)$')
    if kept_said ~= said
        or tonumber(ends) >= tonumber(kept_ends) + tonumber(longer)
        or (again ~= 'inf' and tonumber(at) >= tonumber(kept_at) + tonumber(again))
    then
        local version = string.format('%d', redis.call('INCR', KEYS[1]))
        redis.call('ZADD', KEYS[2], version, id)
        redis.call('HSET', KEYS[3], id, version .. ' ' .. at .. ' ' .. ends .. ' ' .. said)
        news[#news + 1] = (i - 1) / 6 + 1
    end
end
return news
