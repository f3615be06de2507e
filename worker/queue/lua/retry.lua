-- Puts a claimed job into the delayed set, with its history.
--
-- KEYS inflight, begun, owners, delayed, delayed_jobs, cancelled, stats
-- ARGV worker, token, id, history, due ('+ms' from now or Unix ms), counter to add to
-- Returns {'ok' or 'lost', ms until it is due}.
local inflight, begun, owners, delayed, delayed_jobs, cancelled, stats = unpack(KEYS)
local worker, token, id, history, due_text, counter = unpack(ARGV)
local now = now_ms()
local due = tonumber(due_text)

local payload = redis.call('HGET', inflight, token)
if not payload then return {'lost', 0} end
if due_text:sub(1, 1) == '+' then due = now + due end
if redis.call('ZSCORE', cancelled, id) then due = now end
redis.call('HSET', delayed_jobs, id, history .. '\n' .. payload)
redis.call('ZADD', delayed, due, id)
redis.call('HINCRBY', stats, counter, 1)
forget(inflight, begun, owners, worker, token, id)
return {'ok', math.max(0, due - now)}
