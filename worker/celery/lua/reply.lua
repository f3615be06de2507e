-- Answers a control request, if whoever asked still waits: their list is bound then.
--
-- KEYS binding of the exchange of replies, their list
-- ARGV the member of the binding, the reply
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], 10000)
return 1
