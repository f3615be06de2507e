-- Gives back all that a worker holds and strikes it off: when its beat has stopped
-- ('reap': that counts against the jobs it had begun), or when it leaves ('leave').
-- At most 500 claims or about 16 MiB a call, so that Redis is never held for long.
--
-- With the last worker that leaves, jobs that are sorted by tenant go back to the head of the
-- queue, where everyone sees them, older versions too.
--
-- KEYS workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats
-- ARGV worker, 'reap', 'leave' or 'unsort' (leave, and there is time for what is sorted), how
--   long crashes are remembered in ms
-- Returns {jobs given back, 1 when there are more}, or {-1, 0} when the worker lives or is
-- struck off already.
local workers, inflight, begun, inbox, owners, queue, delayed, delayed_jobs, crashes, stats =
    unpack(KEYS)
local worker, is_reap, remember_ms = ARGV[1], ARGV[2] == 'reap', ARGV[3]
local keys = {
    inflight = inflight, begun = begun, owners = owners,
    queue = queue, delayed = delayed, delayed_jobs = delayed_jobs,
}
local MOST_BYTES = 16 * 1024 * 1024
local now = now_ms()

local lease_end = redis.call('ZSCORE', workers, worker)
if is_reap and not (lease_end and tonumber(lease_end) <= now) then return {-1, 0} end

-- Up to 2000 jobs, in the order in which they came; those of the last tenants first, so that
-- of each tenant the older ones end in front.
local function unsort()
    local names, payloads, bytes = redis.call('ZRANGE', sorted, -2000, -1), {}, 0
    local first = #names + 1
    while first > 1 and bytes < MOST_BYTES do
        first = first - 1
        payloads[names[first]] = redis.call('HGET', sorted_jobs, names[first])
        bytes = bytes + #(payloads[names[first]] or '')
    end
    names = {unpack(names, first)}
    table.sort(names)
    for i = #names, 1, -1 do
        if payloads[names[i]] then redis.call('LPUSH', queue, payloads[names[i]]) end
        redis.call('HDEL', sorted_jobs, names[i])
        redis.call('ZREM', sorted, names[i])
    end
    if redis.call('ZCARD', sorted) == 0 then redis.call('DEL', turns, sorted_jobs) end
end

local is_alive = lease_end and tonumber(lease_end) >= now
local is_last = redis.call('ZCOUNT', workers, now, '+inf') == (is_alive and 1 or 0)
if ARGV[2] == 'unsort' and is_last and redis.call('ZCARD', sorted) > 0 then
    unsort()
    return {0, 1}
end

-- Whoever goes leaves all in the list, where people look: it may be the last one.
local found = is_reap and 0 or empty_inbox(inbox, queue)
local tokens = redis.call('HKEYS', inflight)
table.sort(tokens, function(a, b) return tonumber(a) > tonumber(b) end)
local given, bytes = 0, 0
while given < math.min(#tokens, 500) and bytes < MOST_BYTES do
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
