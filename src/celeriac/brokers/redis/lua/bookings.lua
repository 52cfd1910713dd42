-- Keep the start that a claimed message was given under a rate limit: "<start>,<written_at>"; < 0 in the line, > 0 at the gate.
local function keep_booking(held, tag, bookings, booking, now)
    local record = redis.call('HGET', held, tag)
    if not record then return end
    local _, at = list_of(record)
    redis.call('HSET', bookings, fingerprint(record, at), string.format('%.6f,%d', booking, now))
end
