-- Gives back all that a worker holds and strikes it off: when its beat has stopped
-- ('reap': that counts against the jobs it had begun), or when it leaves ('leave').
-- At most 500 claims or about 16 MiB a call, so that Redis is never held for long.
--
-- Who is struck off is looked at once more: Redis may not have heard yet that its
-- connection is gone, and its last blocking pop may still bring a job into the inbox.
--
-- KEYS workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats,
--   gone
-- ARGV worker, 'reap' or 'leave', how long crashes are remembered in ms, ms until that last
--   look, longer than a pop can block
-- Returns {jobs given back, 1 when there are more}, or {-1, 0} when the worker lives.
local workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats, gone =
    unpack(KEYS)
local worker, is_reap, remember_ms, look_ms = ARGV[1], ARGV[2] == 'reap', ARGV[3], ARGV[4]
local keys = {
    inflight = inflight, begun = begun, owners = owners,
    queue = queue, delayed = delayed, delayed_jobs = delayed_jobs,
}
local now = now_ms()

local lease_end = redis.call('ZSCORE', workers, worker)
local look_at = redis.call('ZSCORE', gone, worker)
if is_reap and lease_end and tonumber(lease_end) > now then
    redis.call('ZREM', gone, worker)
    return {-1, 0}
end
if is_reap and not lease_end and not (look_at and tonumber(look_at) <= now) then return {-1, 0} end

local found = empty_inbox(inbox, queue)
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
    -- Struck off at once: should it beat before the rest is taken, it hears that it has lost all.
    redis.call('ZADD', gone, now, worker)
    redis.call('ZREM', workers, worker)
    return {found + given, 1}
end
redis.call('DEL', begun)
if is_reap and not lease_end and found + given == 0 then
    redis.call('ZREM', gone, worker)
else
    redis.call('ZADD', gone, now + look_ms, worker)
    redis.call('ZREM', workers, worker)
end
return {found + given, 0}
