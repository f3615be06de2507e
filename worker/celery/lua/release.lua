-- Gives single claims back: those that the worker does not know, because the reply that would have
-- told it was lost.
--
-- KEYS inflight, begun, owners, queue, delayed, delayed_jobs
-- ARGV worker, tokens
-- Returns how many there were.
local keys = {
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3],
    delayed = KEYS[5], delayed_jobs = KEYS[6],
}
local now, released = now_ms(), 0
for i = 2, #ARGV - EXTRA_ARGS do
    if give_back(keys, ARGV[1], ARGV[i], now) then released = released + 1 end
end
return released
