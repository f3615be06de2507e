-- Gives a task up: what settle.lua does, and a dead letter with its reason.
--
-- KEYS and ARGV as settle.lua, but KEYS[9] is the dead letters; ARGV[9] the letter, ARGV[10] how many
-- to keep, ARGV[11] what follows. An empty id leaves no document.
-- Returns as settle.lua.
local dead, letter, keep = KEYS[9], ARGV[9], tonumber(ARGV[10])

if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return 'lost' end
if keep > 0 then
    redis.call('RPUSH', dead, letter)
    redis.call('LTRIM', dead, -keep, -1)
end
redis.call('HINCRBY', KEYS[6], 'dead', 1)
return finish({
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    document = ARGV[6], ttl_ms = ARGV[7], follow = ARGV[11],
})
