-- Stands in front of every script of this folder.
--
-- Redis' clock is the only one that decides leases and dates. What may be refused
-- (out of memory) is always written first, what frees memory last: a script that
-- is refused has then changed nothing.

-- Every worker's step has these keys at the end: jobs that were sorted by tenant (docs/redis-keys.md).
local sorted, sorted_jobs, turns, returned, busy = unpack(KEYS, #KEYS - 4)

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- 48 bits, as text, that stand for a tenant where a number is needed.
local function number_of(tenant)
    return string.format('%.0f', tonumber(redis.sha1hex(tenant):sub(1, 12), 16))
end

-- Is there a final result? A running one begins with `running_prefix`.
local function is_final(result, running_prefix)
    local head = redis.pcall('GETRANGE', result, 0, #running_prefix - 1)
    -- What is no string is no result of ours; SET replaces it.
    if type(head) == 'table' then return false end
    return head ~= '' and head ~= running_prefix
end

-- Takes a claim out of the worker's in-flight record.
local function forget(inflight, begun, owners, worker, token, id)
    redis.call('HDEL', inflight, token)
    redis.call('HDEL', begun, token)
    redis.call('ZREM', busy, worker .. ' ' .. token)
    if id ~= '' and redis.call('HGET', owners, id) == worker .. ' ' .. token then
        redis.call('HDEL', owners, id)
    end
end

-- Gives a claim back, no attempt spent: to the head of the queue as the producer
-- pushed it, or, when it has a history (failed or waited before), to the delayed
-- set, due now, where the history is kept. How many at the head were given back is counted:
-- they had their turn already.
-- A history is "<attempts> <waits> <since ms> <id>".
local function give_back(keys, worker, token, now)
    local payload = redis.call('HGET', keys.inflight, token)
    if not payload then return false end
    local history = redis.call('HGET', keys.begun, token)
    local attempts, waits, id = '0', '0', ''
    if history then attempts, waits, id = history:match('^(%d+) (%d+) %d+ (.*)$') end
    local is_begun = id ~= '' and redis.call('HGET', keys.owners, id) == worker .. ' ' .. token
    if attempts ~= '0' or waits ~= '0' then
        redis.call('HSET', keys.delayed_jobs, id, history .. '\n' .. payload)
        redis.call('ZADD', keys.delayed, now, id)
    else
        redis.call('LPUSH', keys.queue, payload)
        redis.call('INCR', returned)
    end
    forget(keys.inflight, keys.begun, keys.owners, worker, token, id)
    return payload, is_begun
end

-- The inbox is the front part of the queue: what blocking pops have brought and no claim has taken
-- yet, whoever popped it. Puts it back to the head, in its order. Returns how many.
local function empty_inbox(inbox, queue)
    local count = 0
    local payload = redis.call('LINDEX', inbox, -1)
    while payload do
        redis.call('LPUSH', queue, payload)
        redis.call('RPOP', inbox)
        count = count + 1
        payload = redis.call('LINDEX', inbox, -1)
    end
    return count
end

-- Does the id run under another claim?
local function is_others(f)
    local owner = f.id ~= '' and redis.call('HGET', f.owners, f.id)
    return owner and owner ~= f.worker .. ' ' .. f.token
end

-- Is there no result to be written: has the id one, or will the other claim bring it?
local function is_late(f)
    return f.id ~= '' and (is_others(f) or is_final(f.result, f.running_prefix))
end

-- The job's end, written once: the first final result of an id wins, and a bad copy
-- of a job that runs elsewhere does not end that one.
-- Returns 'ok' (or it was written already: a repeat), 'late' (another result stands already) or
-- 'lost' (not our claim).
local function finish(f)
    local is_claimed = redis.call('HEXISTS', f.inflight, f.token) == 1
    if not is_claimed and f.id ~= '' and redis.pcall('GET', f.result) == f.document then
        return 'ok'
    end
    if not is_claimed and f.token ~= '' then return 'lost' end
    local outcome, ends_elsewhere = 'ok', is_others(f)
    if is_late(f) then
        outcome = 'late'
    elseif f.id ~= '' then
        -- What stands under the names below may be no list: that stops no result.
        redis.call('SET', f.result, f.document, 'PX', f.ttl_ms)
        redis.pcall('RPUSH', f.reply, f.document)
        redis.call('PEXPIRE', f.reply, f.ttl_ms)
        if f.reply_to then redis.pcall('RPUSH', f.reply_to, f.document) end
        redis.call('PUBLISH', f.done_channel, f.id)
    end
    if outcome == 'ok' then redis.call('HINCRBY', f.stats, f.state, 1) end
    if is_claimed then
        if redis.call('EXISTS', f.crashes) == 1 then
            redis.call('HDEL', f.crashes, redis.sha1hex(redis.call('HGET', f.inflight, f.token)))
        end
        forget(f.inflight, f.begun, f.owners, f.worker, f.token, f.id)
    end
    if f.id ~= '' and not ends_elsewhere then redis.call('ZREM', f.cancelled, f.id) end
    return outcome
end
