-- Tell what was revoked after a version.
--   KEYS  revoked:version, revoked:versions, revoked (see `revoke`)
--   ARGV  version, most ids, ahead
-- Returns {the last version, now, 1 when there are more than are told, version up to which these are all, {id, entry, …}}.
-- include clock
local last, now = redis.call('GET', KEYS[1]) or '0', server_now(tonumber(ARGV[3]))
local most, found, up_to = tonumber(ARGV[2]), {}, last
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, most + 1)
for i = 1, math.min(#ids, 2 * most), 2 do
    local entry = redis.call('HGET', KEYS[3], ids[i])
    if entry then
        found[#found + 1] = ids[i]
        found[#found + 1] = entry
    end
    if #ids > 2 * most then up_to = ids[i + 1] end
end
return {last, as_text(now), #ids > 2 * most and 1 or 0, up_to, found}
