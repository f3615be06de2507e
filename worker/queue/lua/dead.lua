-- Gives a job up: what settle.lua does, and a dead letter with its reason.
--
-- KEYS inflight, begun, owners, cancelled, crashes, stats, result, reply, dead [, reply_to]
-- ARGV as settle.lua; then the letter, how many to keep, '1' when a model was called for the job.
-- An empty id leaves no result.
-- Returns as settle.lua. The letter is written even when the result comes late, as the job's bytes
-- are nowhere else; but not when it was called for and its id is answered: a retry would pay again.
local dead, letter, keep, has_run = KEYS[9], ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1'
local f = {
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7], reply = KEYS[8], reply_to = #KEYS == 15 and KEYS[10],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    running_prefix = ARGV[5], document = ARGV[6], ttl_ms = ARGV[7], done_channel = ARGV[8],
}
local is_claimed = f.token ~= '' and redis.call('HEXISTS', f.inflight, f.token) == 1

-- A repeat, whose first try was not answered, is known by its letter: that is not written again.
local is_repeat = not is_claimed
    and redis.call('LPOS', dead, letter, 'RANK', -1, 'MAXLEN', 1000) ~= false
if is_repeat and f.id == '' then return 'ok' end
local is_ours = is_claimed or f.token == ''
if is_ours and not is_repeat and not (has_run and is_late(f)) then
    if keep > 0 then
        redis.call('RPUSH', dead, letter)
        redis.call('LTRIM', dead, -keep, -1)
    end
    redis.call('HINCRBY', f.stats, 'dead', 1)
end
return finish(f)
