-- Starts an execution: is this id running, final or cancelled? If not, it is ours.
--
-- KEYS inflight, begun, owners, delayed_jobs, cancelled, result, stats
-- ARGV worker, token, id, history, prefix of a running result, running result or '', its TTL in ms
-- Returns {status, Redis' time in Unix ms}: 'run'; 'cancelled' (ours, to be settled so);
-- 'final' and 'twin' (dropped: the id has its result, or another copy of it is on its way);
-- 'lost' (the claim is not ours any more).
local inflight, begun, owners, delayed_jobs, cancelled, result, stats = unpack(KEYS)
local worker, token, id, history, running_prefix, running, ttl_ms = unpack(ARGV)
local me, now = worker .. ' ' .. token, now_ms()

if redis.call('HEXISTS', inflight, token) == 0 then return {'lost', now} end

local function drop(status)
    forget(inflight, begun, owners, worker, token, id)
    redis.call('HINCRBY', stats, 'duplicates', 1)
    return {status, now}
end

if is_final(result, running_prefix) then return drop('final') end
local owner = redis.call('HGET', owners, id)
if owner and owner ~= me then return drop('twin') end
if redis.call('HEXISTS', delayed_jobs, id) == 1 then return drop('twin') end

redis.call('HSET', owners, id, me)
redis.call('HSET', begun, token, history)
if redis.call('ZSCORE', cancelled, id) then return {'cancelled', now} end
if running ~= '' then redis.call('SET', result, running, 'PX', ttl_ms) end
return {'run', now}
