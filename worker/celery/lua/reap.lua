-- Gives back all that a worker of ours holds and strikes it off: when its beat has stopped
-- ('reap': that counts against the messages it had begun), or when it leaves ('leave'). The last
-- one that leaves puts delayed messages back, too: there may be only workers of Celery from now on.
-- At most 500 messages or about 16 MiB a call, so that Redis is never held for long.
--
-- KEYS workers, inflight, begun, inbox (not used), owners, queue, delayed, delayed_jobs, crashes,
--   stats
-- ARGV worker, 'reap' or 'leave', how long crashes are remembered in ms
-- Returns {messages given back, 1 when there are more}, or {-1, 0} when the worker lives.
local workers, inflight, begun, _, owners, _, delayed, delayed_jobs, crashes, stats = unpack(KEYS)
local worker, is_reap, remember_ms = ARGV[1], ARGV[2] == 'reap', ARGV[3]
local keys = {
    inflight = inflight, begun = begun, owners = owners,
    delayed = delayed, delayed_jobs = delayed_jobs,
}
local now = now_ms()

local lease_end = redis.call('ZSCORE', workers, worker)
if is_reap and not (lease_end and tonumber(lease_end) <= now) then return {-1, 0} end

local tokens = redis.call('HKEYS', inflight)
table.sort(tokens, function(a, b) return tonumber(a) > tonumber(b) end)
local seen, given, bytes = 0, 0, 0
while seen < math.min(#tokens, 500) and bytes < 16 * 1024 * 1024 do
    seen = seen + 1
    local payload, is_begun, reference = give_back(keys, worker, tokens[seen], now)
    if payload then given, bytes = given + 1, bytes + #payload end
    if payload and is_reap and is_begun then
        redis.call('HINCRBY', crashes, redis.sha1hex(reference), 1)
        redis.call('PEXPIRE', crashes, remember_ms)
    end
end
if is_reap and given > 0 then redis.call('HINCRBY', stats, 'reaped', given) end
if #tokens > seen then
    -- A lease that ended at 0: should it beat before the rest is taken, it hears that it has lost
    -- all; should its reaper die, another one goes on.
    redis.call('ZADD', workers, 0, worker)
    return {given, 1}
end
redis.call('DEL', begun)
redis.call('ZREM', workers, worker)
if is_reap or redis.call('ZCOUNT', workers, now, '+inf') > 0 then return {given, 0} end

local ids = redis.call('ZRANGE', delayed, 0, 499)
for _, id in ipairs(ids) do
    local entry = redis.call('HGET', delayed_jobs, id)
    local reference = entry and entry:sub(entry:find('\n', 1, true) + 1)
    local payload = reference and payload_of(reference)
    if payload then
        redis.call('RPUSH', lists[step_of(payload)], mark(payload))
        ack(reference)
        given = given + 1
    end
    redis.call('ZREM', delayed, id)
    redis.call('HDEL', delayed_jobs, id)
end
return {given, #ids == 500 and 1 or 0}
