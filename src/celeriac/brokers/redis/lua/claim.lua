-- Take messages and become their owner.
--   KEYS  epochs, held, started, counts, delayed, delayed:counts, bookings, replaced, revoked:version, then lists: the first
--         is served first
--   ARGV  owner, epoch, ahead, first tag, most messages, most bytes together (a single one may weigh more),
--         bytes from which a message is too large to be sent, bytes of its end that are sent instead,
--         tags that have begun, tags that have ended
-- Returns {1} or {2} when refused (`fence`), else
--   {0, now, instant at which the next delayed message is due (asked for when nothing is left) or '',
--    1 when more may be due, how many lists in front were found empty,
--    {list, messages taken from it, …}, {message, its counts, …}, {message, its size, …}, {list, error, …}, {envelopes},
--    1 when a list was left to others in this call, {message, its booking, …}, 1 when any run was replaced,
--    version of what is revoked}
-- Lists and messages are named by their position, from 1. The n-th message has the tag `first tag + n - 1`.
-- Each message is recorded before the next one is taken.
-- include clock
-- include fence
-- include records
-- include delayed
-- include notes
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
allow_when_full(KEYS[4])
local held, now = KEYS[2], server_now(tonumber(ARGV[3]))
if ARGV[9] ~= '' or ARGV[10] ~= '' then note(KEYS[3], held, ARGV[9], ARGV[10]) end
local promoted, for_others = promote(KEYS[5], KEYS[6], now, 500)
local tag, most, room = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local too_large, tail = tonumber(ARGV[7]), tonumber(ARGV[8])
local counted, booked, any_replaced = false, false, 0
if redis.call('EXISTS', KEYS[4], KEYS[7], KEYS[8]) > 0 then -- there are none of these on most servers
    counted, booked = redis.call('EXISTS', KEYS[4]) > 0, redis.call('EXISTS', KEYS[7]) > 0
    any_replaced = redis.call('EXISTS', KEYS[8])
end
local FEW = 64
local bookings, envelopes, runs, counts, sizes, errors, empty = {}, {}, {}, {}, {}, {}, 0
local taken, stepped_back, revoked = 0, 0, redis.pcall('GET', KEYS[9])
for i = 10, #KEYS do
    if taken == most or room <= 0 then break end
    local list, before = KEYS[i], taken
    if for_others[list] then
        -- A task that was unknown here: whoever waits for this list gets it when this script has ended.
        stepped_back = 1
        break
    end
    local head, drained = #list .. ':' .. list, false
    while taken < most do
        local envelope = redis.pcall('RPOP', list)
        if type(envelope) ~= 'string' then
            if envelope then
                errors[#errors + 1] = i - 9
                errors[#errors + 1] = envelope.err
            end
            drained = true
            break
        end
        if taken > 0 and #envelope > room then
            redis.call('RPUSH', list, envelope)
            room = 0
            break
        end
        local recorded = redis.pcall('HSET', held, string.format('%d', tag + taken), head .. envelope)
        if type(recorded) == 'table' then
            redis.call('RPUSH', list, envelope)
            return recorded
        end
        room = room - #envelope
        taken = taken + 1
        if counted or booked then
            local name = fingerprint(envelope, 1)
            local entry = counted and redis.call('HGET', KEYS[4], name)
            if entry then
                counts[#counts + 1] = taken
                counts[#counts + 1] = entry
            end
            local booking = booked and redis.call('HGET', KEYS[7], name)
            if booking then
                bookings[#bookings + 1] = taken
                bookings[#bookings + 1] = booking
            end
        end
        if #envelope > too_large then
            sizes[#sizes + 1] = taken
            sizes[#sizes + 1] = #envelope
            envelope = string.sub(envelope, -tail)
        end
        envelopes[taken] = envelope
    end
    if taken > before then
        runs[#runs + 1] = i - 9
        runs[#runs + 1] = taken - before
    end
    if drained then empty = empty + 1 end
    if taken > before and #KEYS - i < FEW then
        -- Mostly that was all there is; asking so costs less than a look at each of the others.
        if redis.call('EXISTS', unpack(KEYS, i)) == 0 then empty = #KEYS - 9 end
    end
    if not drained or empty == #KEYS - 9 then break end
end
local next_due = ''
if empty == #KEYS - 9 then
    local first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    next_due = first[2] or ''
end
return {
    0, as_text(now), next_due, promoted >= 500 and 1 or 0, empty, runs, counts, sizes, errors, envelopes, stepped_back,
    bookings, any_replaced, type(revoked) == 'string' and revoked or '0'
}
