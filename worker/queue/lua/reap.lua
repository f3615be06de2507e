-- Gives back all that a worker holds and strikes it off: when its beat has stopped
-- ('reap': that counts against the jobs it had begun), or when it leaves ('leave').
-- At most 500 claims or about 16 MiB a call, so that Redis is never held for long.
--
-- KEYS workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats
-- ARGV worker, 'reap' or 'leave', how long crashes are remembered in ms
-- Returns {claims given back, 1 when there are more}, or {-1, 0} when the worker lives.
local workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats =
    unpack(KEYS)
local worker, is_reap, remember_ms = ARGV[1], ARGV[2] == 'reap', ARGV[3]
local keys = {
    inflight = inflight, begun = begun, owners = owners,
    queue = queue, delayed = delayed, delayed_jobs = delayed_jobs,
}
local now = now_ms()

local lease_end = redis.call('ZSCORE', workers, worker)
if is_reap and (not lease_end or tonumber(lease_end) > now) then return {-1, 0} end

empty_inbox(inbox, queue)
local tokens = redis.call('HKEYS', inflight)
table.sort(tokens, function(a, b) return tonumber(a) > tonumber(b) end)
local given, bytes = 0, 0
while given < math.min(#tokens, 500) and bytes < 16 * 1024 * 1024 do
    given = given + 1
    local payload, history = give_back(keys, worker, tokens[given], now)
    bytes = bytes + #payload
    if is_reap and history then
        redis.call('HINCRBY', crashes, redis.sha1hex(payload), 1)
        redis.call('PEXPIRE', crashes, remember_ms)
    end
end
if is_reap and given > 0 then redis.call('HINCRBY', stats, 'reaped', given) end
if #tokens > given then return {given, 1} end
redis.call('DEL', begun)
redis.call('ZREM', workers, worker)
return {given, 0}
