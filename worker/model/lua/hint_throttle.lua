-- A model said 'slow down': marks it for 2 s and sets its cooldown.
--
-- The n-th throttle of the last 60 s, this one included, means a cooldown of 10 s (first),
-- 30 s (second, third) or 60 s; a Retry-After that is longer replaces it, up to 300 s.
-- A later hint never shortens a running cooldown.
--
-- KEYS cooldown, throttled, throttles
-- ARGV Retry-After in ms or 0, a name for this throttle that is used once, a cooldown in ms that
--      replaces all that (V1) or 0
-- Returns {cooldown left in ms, throttles of the last 60 s}.
local cooldown, throttled, throttles = unpack(KEYS)
local retry_after_ms = math.min(tonumber(ARGV[1]), 300000)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('SET', throttled, '1', 'PX', 2000)
redis.call('ZADD', throttles, now, ARGV[2])
redis.call('ZREMRANGEBYSCORE', throttles, '-inf', now - 60000)
redis.call('PEXPIRE', throttles, 60000)
local count = redis.call('ZCARD', throttles)

local length_ms = count == 1 and 10000 or count <= 3 and 30000 or 60000
length_ms = math.max(length_ms, retry_after_ms)
if tonumber(ARGV[3]) > 0 then length_ms = tonumber(ARGV[3]) end
local left_ms = redis.call('PTTL', cooldown)
if left_ms < length_ms then
    redis.call('SET', cooldown, string.format('%.14g', length_ms / 1000), 'PX', length_ms)
    left_ms = length_ms
end
return {left_ms, count}
