-- Where the jobs of a queue are. Reads only.
--
-- KEYS queue, delayed, owners, dead, workers, paused, inbox, more lists of the queue, and those of every
--   step
-- Returns {paused, waiting, in flight, delayed, dead, live workers, Unix ms, the first 4096
-- bytes of the oldest waiting payload or nil}.
local queue, delayed, owners, dead, workers, paused, inbox = unpack(KEYS)
local now = now_ms()
local due = redis.call('ZCOUNT', delayed, '-inf', now)
local waiting = redis.call('LLEN', inbox) + redis.call('LLEN', queue) + redis.call('ZCARD', sorted)
for i = 8, #KEYS - 5 do waiting = waiting + redis.call('LLEN', KEYS[i]) end
-- Jobs are sorted in the order in which they came: the oldest is the first of a tenant's.
local name
for _, tenant in ipairs(redis.call('ZRANGE', turns, 0, 999)) do
    local number = number_of(tenant)
    local first = redis.call('ZRANGEBYSCORE', sorted, number, number, 'LIMIT', 0, 1)[1]
    if first and (not name or first < name) then name = first end
end
local head = redis.call('LINDEX', inbox, 0) or name and redis.call('HGET', sorted_jobs, name) or
    redis.call('LINDEX', queue, 0)
return {
    redis.call('EXISTS', paused), waiting + due,
    redis.call('HLEN', owners), redis.call('ZCARD', delayed) - due,
    redis.call('LLEN', dead), redis.call('ZCOUNT', workers, now, '+inf'), now,
    head and head:sub(1, 4096) or false,
}
