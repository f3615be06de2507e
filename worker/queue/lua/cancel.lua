-- Asks for the cancel of a job, wherever it is.
--
-- KEYS result, owners, delayed, delayed_jobs, cancelled
-- ARGV id, prefix of a running result, control channel
-- Returns {'final', result}, {'running'} or {'waiting'}.
local result, owners, delayed, delayed_jobs, cancelled = unpack(KEYS)
local id, running_prefix, channel = unpack(ARGV)

if is_final(result, running_prefix) then return {'final', redis.call('GET', result)} end
redis.call('ZADD', cancelled, now_ms(), id)
-- A delayed job becomes due, so that its `cancelled` result does not wait for its date.
if redis.call('HEXISTS', delayed_jobs, id) == 1 then redis.call('ZADD', delayed, 0, id) end
redis.call('PUBLISH', channel, 'cancel ' .. id)
return {redis.call('HEXISTS', owners, id) == 1 and 'running' or 'waiting'}
