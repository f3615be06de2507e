-- Proof of life, and what a worker should know every few seconds.
--
-- KEYS workers, inflight, inbox, delayed, cancelled, paused, gone
-- ARGV worker, lease in ms, cancels since (Unix ms), how long a cancel is remembered in ms
-- Returns {1 when the worker was still registered, Redis' time in Unix ms, 1 when paused,
--   claims on record, inbox length, ms until the next delayed job or -1,
--   {workers whose lease has ended, or who are to be looked at once more}, {ids cancelled since}}.
local workers, inflight, inbox, delayed, cancelled, paused, gone = unpack(KEYS)
local worker, lease_ms, since, remember_ms =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()

local was_registered = redis.call('ZSCORE', workers, worker) and 1 or 0
redis.call('ZADD', workers, now + lease_ms, worker)
redis.call('ZREMRANGEBYSCORE', cancelled, '-inf', now - remember_ms)

local expired = redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 100)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', gone, '-inf', now, 'LIMIT', 0, 100)) do
    expired[#expired + 1] = name
end

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
return {
    was_registered, now, redis.call('EXISTS', paused), redis.call('HLEN', inflight),
    redis.call('LLEN', inbox), next_due and math.max(0, tonumber(next_due) - now) or -1,
    expired,
    redis.call('ZRANGEBYSCORE', cancelled, since, '+inf', 'LIMIT', 0, 1000),
}
