-- Gives back all that a worker holds and strikes it off: when its beat has stopped
-- ('reap': that counts against the jobs it had begun), or when it leaves ('leave').
-- At most 500 claims or about 16 MiB a call, so that Redis is never held for long.
--
-- KEYS workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats
-- ARGV worker, 'reap' or 'leave', how long crashes are remembered in ms
-- Returns {jobs given back, 1 when there are more}, or {-1, 0} when the worker lives or is
-- struck off already.
local workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats =
    unpack(KEYS)
local worker, is_reap, remember_ms = ARGV[1], ARGV[2] == 'reap', ARGV[3]
local keys = {
    inflight = inflight, begun = begun, owners = owners,
    queue = queue, delayed = delayed, delayed_jobs = delayed_jobs,
}
local now = now_ms()

local lease_end = redis.call('ZSCORE', workers, worker)
if is_reap and not (lease_end and tonumber(lease_end) <= now) then return {-1, 0} end

-- Whoever goes leaves all in the list, where people look: it may be the last one.
local found = is_reap and 0 or empty_inbox(inbox, queue)
local tokens = redis.call('HKEYS', inflight)
table.sort(tokens, function(a, b) return tonumber(a) > tonumber(b) end)
local given, bytes = 0, 0
while given < math.min(#tokens, 500) and bytes < 16 * 1024 * 1024 do
    given = given + 1
    local payload, is_begun = give_back(keys, worker, tokens[given], now)
    bytes = bytes + #payload
    if is_reap and is_begun then
        redis.call('HINCRBY', crashes, redis.sha1hex(payload), 1)
        redis.call('PEXPIRE', crashes, remember_ms)
    end
end
if is_reap and given > 0 then redis.call('HINCRBY', stats, 'reaped', given) end
if #tokens > given then
    -- A lease that ended at 0: should it beat before the rest is taken, it hears that it has lost
    -- all; should its reaper die, another one goes on.
    redis.call('ZADD', workers, 0, worker)
    return {found + given, 1}
end
redis.call('DEL', begun)
redis.call('ZREM', workers, worker)
return {found + given, 0}
