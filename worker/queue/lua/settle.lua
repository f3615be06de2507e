-- Writes a job's end: result, reply lists, counters and removal from the in-flight
-- record, in one step.
--
-- KEYS inflight, begun, owners, cancelled, crashes, stats, result, reply [, reply_to]
-- ARGV worker, token ('': never claimed with a record), id, state, prefix of a running
--      result, document, TTL in ms, done channel
-- Returns 'ok', 'late' or 'lost': see finish.
return finish({
    inflight = KEYS[1], begun = KEYS[2], owners = KEYS[3], cancelled = KEYS[4],
    crashes = KEYS[5], stats = KEYS[6], result = KEYS[7], reply = KEYS[8], reply_to = #KEYS == 14 and KEYS[9],
    worker = ARGV[1], token = ARGV[2], id = ARGV[3], state = ARGV[4],
    running_prefix = ARGV[5], document = ARGV[6], ttl_ms = ARGV[7], done_channel = ARGV[8],
})
