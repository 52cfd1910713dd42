-- Records of results, as Celery keeps them in Redis: the text of a record under `celery-task-meta-<id>`, published on
-- the channel of the same name. Included by every script that keeps records; calls of `redis.call` go to the database
-- that is selected.
--
-- A record tells its state, but not the attempt that it is of; a compressed one does not even tell its state. Where
-- the record alone says too little, a second key beside it says the rest:
--
--   <prefix>celeriac-attempt-<id>   string, expires with the record:
--       "<retries> <bytes of the record> <sha1 of its last 256 bytes> <state>"
--
-- Only runs past their first attempt that have not returned, and records that scripts cannot read, have one: a SUCCESS
-- stands whatever attempt it is of. Length and digest bind it to its record: it means nothing once another program has
-- written over that one.

local FINAL = {SUCCESS = true, FAILURE = true, REVOKED = true}
local TOLD_BY_OTHERS = {STARTED = true, RECEIVED = true}

-- Return the state that a record tells by itself, or nil. Reads only; nothing is ever unpickled.
local function told_state(record)
    local state = string.match(record, '^{"status": ?"([^"\\]*)"')
    if state then
        return state
    end
    local first = string.byte(record, 1)
    if first == 123 then -- "{": JSON of another order, or with escapes in its state
        local read, fields = pcall(cjson.decode, record)
        state = read and type(fields) == 'table' and fields.status
    elseif first == 128 then -- a pickle: Celery writes the state first
        local head = string.sub(record, 1, 320)
        local _, last, size = string.find(head, '^\128.-X\6%z%z%zstatusq.X(.)%z%z%z')
        if not last then
            _, last, size = string.find(head, '^\128.-\140\6status\148\140(.)')
        end
        state = last and string.sub(head, last + 1, last + string.byte(size))
    elseif first and (first > 128 and first < 144 or first == 222 or first == 223) then -- msgpack: a map
        local read, fields = pcall(cmsgpack.unpack, record)
        state = read and type(fields) == 'table' and fields.status
    elseif first ~= 0 then -- YAML: keys begin their lines, whatever is in the values is indented; 0: compressed
        state = string.match(record, '^status: ([%w_-]+)\n') or string.match(record, '\nstatus: ([%w_-]+)\n')
    end
    return type(state) == 'string' and state or nil
end

local function bound_to(record)
    return #record .. ' ' .. redis.sha1hex(string.sub(record, -256))
end

-- Return state and attempt of the record that is kept. What nobody can read has the state ''.
local function kept_as(record, attempt_key)
    local attempt = redis.call('GET', attempt_key)
    if attempt then
        local retries, bound, state = string.match(attempt, '^(%d+) (%d+ %x+) (.*)$')
        if bound == bound_to(record) then
            return state, tonumber(retries)
        end
    end
    return told_state(record) or '', 0
end

-- Say whether a record may take the place of the one that is kept.
local function may_replace(record, attempt_key, state, retries, mode)
    if told_state(record) == 'SUCCESS' then
        return false -- without looking for its attempt
    end
    local old_state, old_retries = kept_as(record, attempt_key)
    if old_state == 'SUCCESS' then
        return false
    end
    if mode == 'store' then
        return true
    end
    if mode == 'once' then
        return not FINAL[old_state] or old_retries < retries
    end
    -- a note
    if old_retries ~= retries then
        return old_retries < retries
    end
    if FINAL[old_state] or old_state == 'RETRY' then
        return false
    end
    return TOLD_BY_OTHERS[old_state] or not TOLD_BY_OTHERS[state]
end

-- Set a key that lives for so long; 0 is for ever.
local function set(key, value, lifetime_ms)
    if lifetime_ms > 0 then
        redis.call('SET', key, value, 'PX', lifetime_ms)
    else
        redis.call('SET', key, value)
    end
end

-- The same if there is no such key; else return false.
local function set_new(key, value, lifetime_ms)
    if lifetime_ms > 0 then
        return redis.call('SET', key, value, 'NX', 'PX', lifetime_ms)
    end
    return redis.call('SET', key, value, 'NX')
end

-- Keep one record and tell those who wait, unless what is kept stands.
--   meta_key, attempt_key  as above; both in the selected database
--   record                 Celery's result map as serialized
--   state, retries         what it is of
--   lifetime_ms            milliseconds until it expires; 0 keeps it for ever
--   mode                   'store': only a SUCCESS stands; 'once': also what is final for the same or a later attempt;
--                          'note': how a run is getting on, which changes nothing when it comes late
-- Returns 1 when it was kept, else 0. Safe at every line: the record is written in one command, and what comes after
-- it may be repeated or left out.
local function keep_result(meta_key, attempt_key, record, state, retries, lifetime_ms, mode)
    -- Nearly always there is nothing yet, and one command says so and keeps the record.
    local old
    if not set_new(meta_key, record, lifetime_ms) then
        old = redis.call('GET', meta_key)
        if not may_replace(old, attempt_key, state, retries, mode) then
            return 0
        end
        set(meta_key, record, lifetime_ms)
    end
    if told_state(record) ~= state or (retries > 0 and state ~= 'SUCCESS') then
        set(attempt_key, string.format('%d %s %s', retries, bound_to(record), state), lifetime_ms)
    elseif old then
        redis.call('DEL', attempt_key)
    end
    -- A user who may not publish on this channel has kept the record all the same: who waits looks again by himself.
    redis.pcall('PUBLISH', meta_key, record)
    return 1
end
