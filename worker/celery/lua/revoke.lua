-- A task is not to run any more. What runs goes on, unless it is to be terminated.
--
-- KEYS owners, delayed, delayed_jobs, cancelled, result
-- ARGV id, 1 to terminate, the document of a revoked task, its TTL in ms
local owners, delayed, delayed_jobs, cancelled, result = unpack(KEYS)
local id, is_terminated, document, ttl_ms = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4]
local is_running = redis.call('HEXISTS', owners, id) == 1

if is_running and not is_terminated then return 0 end
redis.call('ZADD', cancelled, now_ms(), id)
-- A delayed one becomes due, so that its end does not wait for its date.
if redis.call('HEXISTS', delayed_jobs, id) == 1 then redis.call('ZADD', delayed, 0, id) end
local status = status_of(result)
if not is_running and (status == '' or status == 'PENDING' or status == 'RECEIVED' or
        status == 'RETRY' or status == 'REJECTED') then
    publish(result, document, ttl_ms)
end
return 1
