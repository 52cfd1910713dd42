-- Keep records of results.
--   KEYS  per record two: celery-task-meta-<id>, celeriac-attempt-<id>
--   ARGV  1: 'store', 'once' or 'note', as keep_result knows them; then per record four: the record, its state, its
--         retries, milliseconds until it expires (0: never). Not packed: cmsgpack of Redis 7.0 cannot read msgpack's
--         bytes.
-- Returns how many of them were kept.
-- Safe at every line: an error leaves the records before it kept, and a repeat changes nothing about them.

-- include results

local kept = 0
for number = 1, #KEYS / 2 do
    local record, state, retries, lifetime_ms = unpack(ARGV, 4 * number - 2, 4 * number + 1)
    kept = kept + keep_result(
        KEYS[2 * number - 1], KEYS[2 * number], record, state, tonumber(retries), tonumber(lifetime_ms), ARGV[1]
    )
end
return kept
