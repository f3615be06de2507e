-- Writes a task's end: its document, told to who waits for it, what follows from it, counters,
-- and the acknowledgement, in one step.
--
-- KEYS inflight, begun, owners, cancelled, crashes, stats, result, reply (not used)
-- ARGV worker, token, id, state, - , document ('': none), TTL in ms, - , what follows
-- Returns 'ok', 'late' or 'lost': see finish.
return finish({
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    document = ARGV[6], ttl_ms = ARGV[7], follow = ARGV[9],
})
