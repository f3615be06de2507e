-- Claims up to `max` jobs for a worker: first what blocking pops have put into the
-- inbox, whoever they were, then delayed jobs that are due, then the head of the queue. Copied first,
-- cut after, so that no step can lose one. While the queue is paused, or with max
-- 0, the inbox goes back to the head instead.
--
-- KEYS queue, delayed, delayed_jobs, inflight, begun, inbox, workers, paused, crashes
-- ARGV worker, max, first token (the next max - 1 numbers are reserved too), max bytes
-- Returns {status, ms until the next delayed job or -1, then per claim: token, history or
-- '', times its workers died, payload}; status is 'ok', 'full' (there is one more that does not fit
-- in max bytes; the first one always does), 'paused' or 'unregistered' (this worker has no living
-- lease: what it takes would be reaped at once, or never; it is to beat first).
local queue, delayed, delayed_jobs, inflight, begun, inbox, workers, paused, crashes =
    unpack(KEYS)
local worker, max, token, max_bytes =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local now = now_ms()
local lease_end = redis.call('ZSCORE', workers, worker)
if not lease_end or tonumber(lease_end) <= now then return {'unregistered', -1} end
redis.call('LLEN', queue) -- a key of another type is refused here, before anything has moved
local is_paused = redis.call('EXISTS', paused) == 1
if is_paused or max == 0 then
    empty_inbox(inbox, queue)
    return {is_paused and 'paused' or 'ok', -1}
end

local reply, bytes = {'ok', -1}, 0
local count_crashes = redis.call('EXISTS', crashes) == 1

-- False when it does not fit, or when the token is on the record: a worker had this name before.
-- The job stays where it is, and this worker's next claim has other tokens.
local function take(payload, history)
    if bytes > 0 and bytes + #payload > max_bytes then
        reply[1], max = 'full', 0
        return false
    end
    local name = string.format('%.0f', token)
    if redis.call('HSETNX', inflight, name, payload) == 0 then
        max = 0
        return false
    end
    if history then redis.call('HSET', begun, name, history) end
    local died = count_crashes and redis.call('HGET', crashes, redis.sha1hex(payload))
    reply[#reply + 1] = name
    reply[#reply + 1] = history or ''
    reply[#reply + 1] = died or '0'
    reply[#reply + 1] = payload
    token, max, bytes = token + 1, max - 1, bytes + #payload
    return true
end

while max > 0 do
    local payload = redis.call('LINDEX', inbox, 0)
    if not payload or not take(payload) then break end
    redis.call('LPOP', inbox)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, max)) do
    if max <= 0 then break end
    local entry = redis.call('HGET', delayed_jobs, id)
    if entry then
        local cut = entry:find('\n', 1, true)
        if not take(entry:sub(cut + 1), entry:sub(1, cut - 1)) then break end
    end
    redis.call('ZREM', delayed, id)
    redis.call('HDEL', delayed_jobs, id)
end
local taken = 0
while max > 0 do
    local payload = redis.call('LINDEX', queue, taken)
    if not payload or not take(payload) then break end
    taken = taken + 1
end
if taken > 0 then redis.call('LTRIM', queue, taken, -1) end

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
if next_due then reply[2] = math.max(0, tonumber(next_due) - now) end
return reply
