-- Proof of life, and what a worker should know every few seconds. What we hold is renewed in
-- unacked_index, so that no worker of Celery takes it for abandoned; what others have abandoned is
-- put back after the visibility timeout, as they do it.
--
-- KEYS workers, inflight, inbox (not used), delayed, cancelled, paused, stats (not used)
-- ARGV worker, lease in ms, cancels since (Unix ms), how long a cancel is remembered in ms, 1 when
--   the worker takes itself for registered
-- Returns as the native beat.
local workers, inflight, _, delayed, cancelled, paused = unpack(KEYS)
local worker, lease_ms, since, remember_ms =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local swept, binding, binding_permanent = extra_key(9), extra_key(10), extra_key(11)
local visibility_ms, prefix = tonumber(extra_arg(4)), extra_arg(5)
local now = now_ms()
local MANY = 1000 -- at once: the rest has its turn with the next beat

local lease_end = redis.call('ZSCORE', workers, worker)
local was_registered = lease_end and tonumber(lease_end) > 0 and 1 or 0
if was_registered == 1 or ARGV[5] ~= '1' then redis.call('ZADD', workers, now + lease_ms, worker) end
redis.call('ZREMRANGEBYSCORE', cancelled, '-inf', now - remember_ms)

if was_registered == 0 then
    local name = cjson.decode('[' .. extra_arg(1) .. ']')[1]
    local member = name .. '\6\22\6\22' .. name
    redis.call('SADD', binding, member)
    redis.call('SADD', binding_permanent, member)
end

local function renew_kept()
    local old = now - math.min(visibility_ms / 4, 60000)
    for _, tag in ipairs(redis.call('ZRANGEBYSCORE', kept, '-inf', old, 'LIMIT', 0, MANY)) do
        if redis.call('ZSCORE', unacked_index, tag) then
            renew(tag, now)
        else
            redis.call('ZREM', kept, tag)
        end
    end
end

-- Where kombu would put a message of this exchange and routing key.
local function queue_of(exchange, key)
    if exchange == '' then return key end
    local members = redis.pcall('SMEMBERS', prefix .. '_kombu.binding.' .. exchange)
    for _, member in ipairs(members.err and {} or members) do
        local bound, _, queue = member:match('^(.-)\6\22(.-)\6\22(.*)$')
        if bound == key then return queue end
    end
    return key
end

local function sweep()
    local every = math.max(500, math.min(visibility_ms / 4, 100000))
    if redis.call('EXISTS', unacked_mutex) == 1 then return end -- one of Celery's is at it
    if not redis.call('SET', swept, worker, 'NX', 'PX', math.floor(every)) then return end
    local old = seconds(now - visibility_ms)
    for _, tag in ipairs(redis.call('ZRANGEBYSCORE', unacked_index, '-inf', old, 'LIMIT', 0, 100)) do
        local entry = redis.call('HGET', unacked, tag)
        local is_json, parts = pcall(cjson.decode, entry or 'null')
        local is_refused
        local raw = entry and entry:match('^%[(.*),%s*"[^"]*",%s*"[^"]*"%]%s*$')
        if raw and is_json and #parts == 3 then
            local list, step = prefix .. queue_of(parts[2], parts[3]), step_of(raw)
            if step > 1 then list = list .. '\6\22' .. (step - 1) * 3 end
            local answer = redis.pcall('RPUSH', list, mark(raw))
            is_refused = type(answer) == 'table' and answer.err
        end
        if is_refused then -- no list, or none of ours to touch: others may, later
            redis.call('ZADD', unacked_index, seconds(now), tag)
        else
            redis.call('ZREM', unacked_index, tag)
            -- An entry that is none of kombu's stays: nothing is thrown away.
            if raw then redis.call('HDEL', unacked, tag) end
        end
    end
end

-- Parts that came before the size of their chord was known. A size that does not come for an hour is
-- waited for no more. Some at random: those whose size never comes must not hold up the others.
local function look_at_chords()
    local chords = extra_key(12)
    local found = redis.call('HRANDFIELD', chords, 100, 'WITHVALUES')
    for i = 1, #found, 2 do
        local chord, results, ttl_ms, since = unpack(cjson.decode(found[i + 1]))
        if end_part(chord, results, ttl_ms) or now - since > 3600000 then
            redis.call('HDEL', chords, found[i])
        end
    end
end

renew_kept()
sweep()
look_at_chords()

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
return {
    was_registered, now, redis.call('EXISTS', paused), redis.call('HLEN', inflight),
    0, next_due and math.max(0, tonumber(next_due) - now) or -1,
    redis.call('ZRANGEBYSCORE', workers, '-inf', now, 'LIMIT', 0, 100),
    redis.call('ZRANGEBYSCORE', cancelled, since, '+inf', 'LIMIT', 0, 1000),
}
