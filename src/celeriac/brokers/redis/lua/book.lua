-- Say when runs may start under rate limits, each in turn: `celeriac.brokers.rates.book`, with the flows that are kept.
--   KEYS  epochs, flows (hash: what is limited -> "<line_at> <gate_at>")
--   ARGV  owner, epoch, ahead, then per request: what is limited, interval in seconds, tolerance in seconds, start that
--         was given before or '', 1 if that is final else 0
-- Returns {1} or {2} when refused (`fence`), else {0, now, start, 1 if final else 0, …}.
-- Safe at every line: an error costs the starts that were given away.
-- include clock
-- include fence
local stands = standing(KEYS[1], ARGV[1], ARGV[2])
if stands ~= 0 then return {stands} end
allow_when_full(KEYS[2])
local now = server_now(tonumber(ARGV[3]))
local answer, flows = {0, as_text(now)}, {}
now = tonumber(answer[2]) -- what is compared with texts is as exact as those
for i = 4, #ARGV, 5 do
    local name, interval, tolerance = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local before, is_final = tonumber(ARGV[i + 3]), ARGV[i + 4] == '1'
    local flow = flows[name]
    if not flow then
        local kept = redis.call('HGET', KEYS[2], name)
        local line_at, gate_at = string.match(kept or '0 0', '^(%S+) (%S+)$')
        flow = {tonumber(line_at), tonumber(gate_at)}
        flows[name] = flow
    end
    local start, final
    if not before then
        start = math.max(now, flow[1])
        flow[1] = start + interval
    end
    if before and is_final and before <= now and now <= before + tolerance then
        start, final = before, true
    elseif before or start <= now then
        start, final = math.max(now, flow[2] - tolerance), true
        flow[2] = math.max(now, flow[2]) + interval
    end
    answer[#answer + 1] = as_text(start)
    answer[#answer + 1] = final and 1 or 0
end
for name, flow in pairs(flows) do redis.call('HSET', KEYS[2], name, as_text(flow[1]) .. ' ' .. as_text(flow[2])) end
return answer
