-- Tell which ids are revoked.
--   KEYS  revoked (see `revoke`)
--   ARGV  ahead, then ids
-- Returns {now, {position of an id from 1, its entry, …}}.
-- include clock
local found = {}
for i = 2, #ARGV do
    local entry = redis.call('HGET', KEYS[1], ARGV[i])
    if entry then
        found[#found + 1] = i - 1
        found[#found + 1] = entry
    end
end
return {as_text(server_now(tonumber(ARGV[1]))), found}
