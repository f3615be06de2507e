-- Where one job stands. Reads only.
--
-- KEYS result, owners, delayed_jobs, cancelled
-- ARGV id
-- Returns {result or nil, 1 when it runs, 1 when it is delayed, 1 when it was asked to be cancelled}.
return {
    redis.call('GET', KEYS[1]), redis.call('HEXISTS', KEYS[2], ARGV[1]),
    redis.call('HEXISTS', KEYS[3], ARGV[1]), redis.call('ZSCORE', KEYS[4], ARGV[1]) and 1 or 0,
}
