-- Starts an execution: is this id running, succeeded or revoked? If not, it is ours.
--
-- KEYS inflight, begun, owners, delayed_jobs, cancelled, result, stats
-- ARGV worker, token, id, history, - , document to leave meanwhile or '', its TTL in ms
-- Returns {status, Redis' time in Unix ms}: 'run'; 'cancelled' (ours, to be settled so);
-- 'final' and 'twin' (dropped: the id has its end, or is on its way elsewhere); 'lost' (not ours).
local inflight, begun, owners, delayed_jobs, cancelled, result, stats = unpack(KEYS)
local worker, token, id, history, _, running, ttl_ms = unpack(ARGV)
local now = now_ms()

local reference = redis.call('HGET', inflight, token)
if not reference then return {'lost', now} end
local me = worker .. ' ' .. token .. ' ' .. reference
if not payload_of(reference) then -- a worker of Celery has put it back
    forget(inflight, begun, owners, worker, token, id)
    return {'lost', now}
end

local function drop(status, is_acked)
    if is_acked then ack(reference) end
    forget(inflight, begun, owners, worker, token, id)
    redis.call('HINCRBY', stats, 'duplicates', 1)
    return {status, now}
end

local status = status_of(result)
local is_cancelled = redis.call('ZSCORE', cancelled, id)
if status == 'SUCCESS' or status == 'REVOKED' and not is_cancelled then
    return drop('final', true)
end
-- Of a twin with our own tag, restored while it was held, the entry is the other's.
local owner = redis.call('HGET', owners, id)
if owner and owner ~= me then return drop('twin', owner:sub(-#reference - 1) ~= ' ' .. reference) end
local entry = redis.call('HGET', delayed_jobs, id)
if entry then
    local other = entry:sub(entry:find('\n', 1, true) + 1)
    if other ~= reference and payload_of(other) then return drop('twin', true) end
end

redis.call('HSET', owners, id, me)
if entry then redis.call('HDEL', delayed_jobs, id) end
redis.call('HSET', begun, token, history)
if is_cancelled then return {'cancelled', now} end
if running ~= '' then publish(result, running, ttl_ms) end
return {'run', now}
