-- Gives a job up: what settle.lua does, and a dead letter with its reason.
--
-- KEYS and ARGV as settle.lua, but KEYS[9] is the dead letters and KEYS[10] reply_to;
-- ARGV[9] the letter, ARGV[10] how many to keep. An empty id leaves no result.
-- Returns as settle.lua. The letter is written even when the result comes late. Without a
-- token (at most once) a repeat is known by its letter alone.
local dead, letter, keep = KEYS[9], ARGV[9], tonumber(ARGV[10])

if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return 'lost' end
if ARGV[2] == '' and redis.call('LPOS', dead, letter, 'RANK', -1, 'MAXLEN', 1000) then
    return 'late'
end
if keep > 0 then
    redis.call('RPUSH', dead, letter)
    redis.call('LTRIM', dead, -keep, -1)
end
redis.call('HINCRBY', KEYS[6], 'dead', 1)
return finish({
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7], reply = KEYS[8], reply_to = KEYS[10],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    running_prefix = ARGV[5], document = ARGV[6], ttl_ms = ARGV[7], done_channel = ARGV[8],
})
