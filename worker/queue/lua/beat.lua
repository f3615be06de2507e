-- Proof of life, and what a worker should know every few seconds.
--
-- KEYS workers, inflight, inbox, delayed, cancelled, paused, stats
-- ARGV worker, lease in ms, cancels since (Unix ms), how long a cancel is remembered in ms, 1 when
--   the worker takes itself for registered: if it is not it hears so, and has no lease, until it
--   asks for one with 0. An answer that is lost on the wire is thus given again.
-- Returns {1 when the worker was still registered (0: others have its jobs), Redis' time in Unix
--   ms, 1 when paused, claims on record, inbox length, ms until the next delayed job (0 when jobs
--   are sorted by tenant, where no blocking pop sees them) or -1, {workers whose lease has ended},
--   {ids cancelled since}}; or an error, and no lease, when a newer version of Headgate has laid out
--   the keys.
local workers, inflight, inbox, delayed, cancelled, paused, stats = unpack(KEYS)
local worker, lease_ms, since, remember_ms =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()

-- Counts up when workers of two versions could lose a job to each other.
local known = 1
local stands = tonumber(redis.call('HGET', stats, 'layout') or '') or 0
if stands > known then
    return redis.error_reply('LAYOUT the keys of this queue are of a newer version (layout ' ..
        stands .. ') than this worker (' .. known .. '): upgrade it')
end
if stands < known then redis.call('HSET', stats, 'layout', known) end

local lease_end = redis.call('ZSCORE', workers, worker)
local was_registered = lease_end and tonumber(lease_end) > 0 and 1 or 0
if was_registered == 1 or ARGV[5] ~= '1' then redis.call('ZADD', workers, now + lease_ms, worker) end
redis.call('ZREMRANGEBYSCORE', cancelled, '-inf', now - remember_ms)

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
if redis.call('EXISTS', sorted) == 1 then next_due = now end
return {
    was_registered, now, redis.call('EXISTS', paused), redis.call('HLEN', inflight),
    redis.call('LLEN', inbox), next_due and math.max(0, tonumber(next_due) - now) or -1,
    redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 100),
    redis.call('ZRANGEBYSCORE', cancelled, since, '+inf', 'LIMIT', 0, 1000),
}
