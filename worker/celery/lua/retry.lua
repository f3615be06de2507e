-- Keeps a claimed message for later, with its history. It stays in `unacked`.
--
-- KEYS inflight, begun, owners, delayed, delayed_jobs, cancelled, stats, result
-- ARGV worker, token, id, history, due ('+ms' from now or Unix ms), counter to add to,
--      document to leave meanwhile or '', its TTL in ms
-- Returns {'ok' or 'lost', ms until it is due}.
local inflight, begun, owners, delayed, delayed_jobs, cancelled, stats, result = unpack(KEYS)
local worker, token, id, history, due_text, counter, document, ttl_ms = unpack(ARGV)
local now = now_ms()
local due = tonumber(due_text)

local reference = redis.call('HGET', inflight, token)
if not reference then return {'lost', 0} end
if due_text:sub(1, 1) == '+' then due = now + due end
if redis.call('ZSCORE', cancelled, id) then due = now end
redis.call('HSET', delayed_jobs, id, history .. '\n' .. reference)
redis.call('ZADD', delayed, due, id)
redis.call('HINCRBY', stats, counter, 1)
if document ~= '' then publish(result, document, ttl_ms) end
forget(inflight, begun, owners, worker, token, id)
return {'ok', math.max(0, due - now)}
