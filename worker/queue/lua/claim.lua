-- Claims up to `max` jobs for a worker: first what blocking pops have put into the inbox,
-- whoever they were, then delayed jobs that are due, then those that wait. Copied first,
-- cut after, so that no step can lose one. While the queue is paused, or with max
-- 0, the inbox goes back to the head instead.
--
-- Those that wait are taken from the head of the queue while all of them can be, or nobody names
-- a tenant. Else the head of the queue is sorted by tenant, a bounded part in each call, and
-- the tenants take turns: `turns` has the virtual time of each one's next, 1 / weight behind its last
-- or, of a new one, behind the last of all; at the same time the one that came first is
-- first. Who has no more jobs stays until its turn has come, so that nobody gains by leaving.
--
-- KEYS queue, delayed, delayed_jobs, inflight, begun, inbox, workers, paused, crashes
-- ARGV worker, max, first token (the next max - 1 numbers are reserved too), max bytes,
--   'fair', 'caps' (fair, and there are tenants that may have so many claims only) or 'plain',
--   tenants as JSON: {name: [weight, most claims or 0]}, '*' is everyone else
-- Returns {status, ms until the next delayed job or -1, then per claim: token, history or
-- '', times its workers died, payload}; status is 'ok', 'full' (there are more: too large for
-- max bytes, which the first one never is, or to be sorted first), 'paused' or
-- 'unregistered' (this worker has no living lease: what it takes would be reaped at once, or
-- never; it is to beat first).
local queue, delayed, delayed_jobs, inflight, begun, inbox, workers, paused, crashes =
    unpack(KEYS)
local worker, max, token, max_bytes, mode =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local SORT_JOBS, SORT_BYTES, PASSED_TURNS, GONE_TENANTS = 256, 4 * 1024 * 1024, 256, 1000
-- A turn's virtual time for a weight of 1. Whole numbers, as Redis is slow with others in small sets.
local TURN = 1e9
-- Jobs above this are not read just to be left: a read of 8 MiB takes 20 ms.
local LARGE_BYTES = 64 * 1024
-- When to ask again for a tenant that has its most claims.
local CAP_MS = 100

local now = now_ms()
local lease_end = redis.call('ZSCORE', workers, worker)
if not lease_end or tonumber(lease_end) <= now then return {'unregistered', -1} end
-- Keys of another type are refused here, before anything has moved.
local waiting = redis.call('LLEN', queue)
local has_turns = redis.call('ZCARD', turns) > 0
local given_back = tonumber(redis.call('GET', returned) or 0)
local is_paused = redis.call('EXISTS', paused) == 1
local has_caps = mode == 'caps'
-- A job of a tenant that has its most claims must not pass by its turn.
if is_paused or max == 0 or has_caps then waiting = waiting + empty_inbox(inbox, queue) end
if is_paused or max == 0 then return {is_paused and 'paused' or 'ok', -1} end

local reply, bytes, last_bytes, look_ms = {'ok', -1}, 0, 0, nil
local count_crashes = redis.call('EXISTS', crashes) == 1

-- ---- tenants ----

local settings = mode ~= 'plain' and ARGV[6] ~= '' and cjson.decode(ARGV[6]) or {}
local claims = {} -- of a tenant, by its number
local just_sorted = {} -- payloads by the names of their jobs

local function settings_of(tenant)
    return settings[tenant] or settings['*'] or {1, 0}
end

-- What a turn of a tenant takes of virtual time.
local function step_of(tenant)
    return math.floor(TURN / settings_of(tenant)[1])
end

-- Has this tenant its most claims?
local function is_at_cap(tenant)
    local cap = has_caps and settings_of(tenant)[2] or 0
    if cap == 0 then return false end
    local number = number_of(tenant)
    claims[number] = claims[number] or redis.call('ZCOUNT', busy, number, number)
    return claims[number] >= cap
end

-- ---- taking ----

-- False when it does not fit, or when the token is on the record: a worker had this name before.
-- The job stays where it is, and this worker's next claim has other tokens.
local function take(payload, history, tenant)
    if bytes > 0 and bytes + #payload > max_bytes then
        reply[1], max = 'full', 0
        return false
    end
    local name = string.format('%.0f', token)
    if redis.call('HSETNX', inflight, name, payload) == 0 then
        max = 0
        return false
    end
    if history then redis.call('HSET', begun, name, history) end
    if has_caps and settings_of(tenant)[2] > 0 then
        local number = number_of(tenant)
        redis.call('ZADD', busy, number, worker .. ' ' .. name)
        claims[number] = (claims[number] or redis.call('ZCOUNT', busy, number, number) - 1) + 1
    end
    local died = count_crashes and redis.call('HGET', crashes, redis.sha1hex(payload))
    reply[#reply + 1] = name
    reply[#reply + 1] = history or ''
    reply[#reply + 1] = died or '0'
    reply[#reply + 1] = payload
    token, max, bytes, last_bytes = token + 1, max - 1, bytes + #payload, #payload
    return true
end

-- Is there room for another, thought to be as large as the last one?
local function has_room()
    if last_bytes > LARGE_BYTES and bytes + last_bytes > max_bytes then
        reply[1], max = 'full', 0
    end
    return max > 0
end

local function take_inbox()
    while has_room() do
        local payload = redis.call('LINDEX', inbox, 0)
        if not payload or not take(payload) then break end
        redis.call('LPOP', inbox)
    end
end

local function take_delayed()
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, max)) do
        if max <= 0 then break end
        local entry = redis.call('HGET', delayed_jobs, id)
        local cut = entry and entry:find('\n', 1, true)
        local payload = entry and entry:sub(cut + 1)
        local tenant = payload and has_caps and tenant_of(payload)
        if tenant and is_at_cap(tenant) then
            redis.call('ZADD', delayed, now + CAP_MS, id)
        else
            if entry and not take(payload, entry:sub(1, cut - 1), tenant) then break end
            redis.call('ZREM', delayed, id)
            redis.call('HDEL', delayed_jobs, id)
        end
    end
end

-- Takes `count` jobs that have been copied off the head of the queue.
local function cut_head(count)
    if count > 0 then redis.call('LTRIM', queue, count, -1) end
    local still = math.max(0, math.min(given_back, waiting) - count)
    if still == 0 and given_back > 0 then redis.call('DEL', returned) end
    if still > 0 and still < given_back then redis.call('SET', returned, still) end
    given_back, waiting = still, waiting - count
end

-- The head of the queue as it is, up to the first job that has a tenant to be sorted by. The first one
-- may have been looked at already.
local function take_head(payload)
    local taken, is_left = 0, waiting > max
    while taken < waiting and has_room() do
        payload = taken == 0 and payload or redis.call('LINDEX', queue, taken)
        if mode ~= 'plain' and is_left and tenant_of(payload) ~= '' then
            reply[1] = 'full'
            break
        end
        if not take(payload) then break end
        taken = taken + 1
    end
    cut_head(taken)
end

-- Moves jobs from the head of the queue to their tenants. They are numbered as they came, but those
-- that were given back, and so had their turn already, come before all others of their tenant.
local function sort_head()
    local payloads, bytes_read = {}, 0
    while #payloads < SORT_JOBS and bytes_read < SORT_BYTES do
        local payload = redis.call('LINDEX', queue, #payloads)
        if not payload then break end
        payloads[#payloads + 1], bytes_read = payload, bytes_read + #payload
    end
    local jobs, places, first_turns, numbers = {}, {}, {}, {}
    local virtual = tonumber(redis.call('HGET', sorted_jobs, 'time') or 0)
    local last = redis.call('HINCRBY', sorted_jobs, 'last', #payloads)
    for i, payload in ipairs(payloads) do
        local place = last - #payloads + i
        local name = string.format(i <= given_back and '0%015.0f' or '1%015.0f', place)
        local tenant = tenant_of(payload)
        jobs[2 * i - 1], jobs[2 * i], just_sorted[name] = name, payload, payload
        if not numbers[tenant] then
            numbers[tenant] = number_of(tenant)
            first_turns[#first_turns + 1] = virtual + step_of(tenant) + place
            first_turns[#first_turns + 1] = tenant
        end
        places[2 * i - 1], places[2 * i] = numbers[tenant], name
    end
    redis.call('HSET', sorted_jobs, unpack(jobs))
    redis.call('ZADD', turns, 'NX', unpack(first_turns))
    redis.call('ZADD', sorted, unpack(places))
    cut_head(#payloads)
    if waiting > 0 then reply[1] = 'full' end
end

-- By turns; a tenant that has its most claims lets its turn pass.
local function take_turns()
    local own, taken, passed, gone, virtual = {}, {}, 0, 0, nil
    local tenants = redis.call('ZCARD', turns)
    local at_once = math.ceil(max / math.max(1, tenants))

    -- The first job of a tenant that is not taken yet.
    local function first_of(tenant)
        own[tenant] = own[tenant] or {number = number_of(tenant), used = 0}
        local jobs = own[tenant]
        if jobs.used == #jobs then
            for _, name in ipairs(redis.call('ZRANGEBYSCORE', sorted, jobs.number, jobs.number,
                'LIMIT', #jobs, at_once)) do jobs[#jobs + 1] = name end
        end
        return jobs[jobs.used + 1]
    end

    while max > 0 and passed < math.min(tenants, PASSED_TURNS) do
        local tenant, time = unpack(redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES'))
        if not tenant then break end
        local name = first_of(tenant)
        if gone == GONE_TENANTS then
            reply[1] = 'full'
            break
        elseif not name then
            redis.call('ZREM', turns, tenant)
            gone = gone + 1
        else
            if is_at_cap(tenant) then
                passed, look_ms = passed + 1, CAP_MS
            else
                local payload = just_sorted[name] or redis.call('HGET', sorted_jobs, name)
                if payload and not take(payload, nil, tenant) then break end
                taken[#taken + 1], passed = name, 0
                own[tenant].used = own[tenant].used + 1
            end
            redis.call('ZADD', turns, tonumber(time) + step_of(tenant), tenant)
            virtual = time
        end
    end
    if #taken > 0 then
        redis.call('ZREM', sorted, unpack(taken))
        redis.call('HDEL', sorted_jobs, unpack(taken))
    end
    if redis.call('ZCARD', sorted) == 0 then
        redis.call('DEL', turns, sorted_jobs)
    elseif virtual then
        redis.call('HSET', sorted_jobs, 'time', virtual)
    end
end

-- Jobs beyond those that can be taken now, and one at either end names its tenant.
local function is_to_be_sorted()
    if mode == 'plain' or waiting == 0 then return false end
    if has_turns or has_caps then return true end
    if waiting <= max then return false end
    local head = redis.call('LINDEX', queue, 0)
    return tenant_of(head) ~= '' or tenant_of(redis.call('LINDEX', queue, -1)) ~= '', head
end

take_inbox()
take_delayed()
local has_sorted, head = false, nil
if max > 0 then has_sorted, head = is_to_be_sorted() end
if has_sorted then sort_head() end
if has_sorted or has_turns then take_turns() end
if not has_sorted then take_head(head) end

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
if next_due then reply[2] = math.max(0, tonumber(next_due) - now) end
if look_ms then reply[2] = math.min(reply[2] < 0 and look_ms or reply[2], look_ms) end
return reply
