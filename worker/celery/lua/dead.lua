-- Gives a task up: what settle.lua does, and a dead letter with its reason.
--
-- KEYS and ARGV as settle.lua, but KEYS[9] is the dead letters; ARGV[9] the letter, ARGV[10] how many
-- to keep, ARGV[11] '1' when a model was called for it, ARGV[12] what follows. An empty id leaves no
-- document; a task that has succeeded meanwhile leaves no letter of a call that failed.
-- Returns as settle.lua.
local dead, letter, keep, has_run = KEYS[9], ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1'
local is_claimed = redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1

if is_claimed and not (has_run and ARGV[3] ~= '' and status_of(KEYS[7]) == 'SUCCESS') then
    if keep > 0 then
        redis.call('RPUSH', dead, letter)
        redis.call('LTRIM', dead, -keep, -1)
    end
    redis.call('HINCRBY', KEYS[6], 'dead', 1)
end
return finish({
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    document = ARGV[6], ttl_ms = ARGV[7], follow = ARGV[12],
})
