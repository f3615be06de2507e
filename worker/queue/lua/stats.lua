-- Where the jobs of a queue are. Reads only.
--
-- KEYS queue, delayed, owners, dead, workers, paused, inbox
-- Returns {paused, waiting, in flight, delayed, dead, live workers, Unix ms, the first 4096
-- bytes of the oldest waiting payload or nil}.
local queue, delayed, owners, dead, workers, paused, inbox = unpack(KEYS)
local now = now_ms()
local due = redis.call('ZCOUNT', delayed, '-inf', now)
local head = redis.call('LINDEX', inbox, 0) or redis.call('LINDEX', queue, 0)
return {
    redis.call('EXISTS', paused), redis.call('LLEN', queue) + redis.call('LLEN', inbox) + due,
    redis.call('HLEN', owners), redis.call('ZCARD', delayed) - due,
    redis.call('LLEN', dead), redis.call('ZCOUNT', workers, now, '+inf'), now,
    head and head:sub(1, 4096) or false,
}
