-- Claims up to `max` messages for a worker: first delayed ones that are due, then from the right
-- ends of the four lists, the most urgent first. Copied first, cut after.
--
-- KEYS queue, delayed, delayed_jobs, inflight, begun, inbox (not used), workers, paused, crashes
-- ARGV worker, max, first token (the next max - 1 numbers are reserved too), max bytes
-- Returns as the native claim: {status, ms until it is worth another look, then per claim: token,
-- history or '', times its workers died, payload}.
local delayed, delayed_jobs, inflight, begun = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local workers, paused, crashes = KEYS[7], KEYS[8], KEYS[9]
local worker, max, token, max_bytes =
    ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- A blocking pop watches the first list alone; the others are looked at so often.
local LOOK_AGAIN_MS = 250

local now = now_ms()
local lease_end = redis.call('ZSCORE', workers, worker)
if not lease_end or tonumber(lease_end) <= now then return {'unregistered', -1} end
for _, list in ipairs(lists) do redis.call('LLEN', list) end -- refused here when it is no list
if redis.call('EXISTS', paused) == 1 then return {'paused', -1} end
if max == 0 then return {'ok', -1} end

local reply, bytes = {'ok', LOOK_AGAIN_MS}, 0
local count_crashes = redis.call('EXISTS', crashes) == 1

-- False when it does not fit, or when the token is on the record: a worker had this name before.
local function take(payload, reference, history)
    if bytes > 0 and bytes + #payload > max_bytes then
        reply[1], max = 'full', 0
        return false
    end
    local name = string.format('%.0f', token)
    if redis.call('HSETNX', inflight, name, reference) == 0 then
        max = 0
        return false
    end
    if history then redis.call('HSET', begun, name, history) end
    local died = count_crashes and redis.call('HGET', crashes, redis.sha1hex(reference))
    reply[#reply + 1] = name
    reply[#reply + 1] = history or ''
    reply[#reply + 1] = died or '0'
    reply[#reply + 1] = payload
    token, max, bytes = token + 1, max - 1, bytes + #payload
    return true
end

-- 't' and the tag of a message that a worker of Celery could restore; else 'r' and the text.
local function reference_of(raw)
    local is_json, message = pcall(cjson.decode, raw)
    local properties = is_json and type(message) == 'table' and message.properties
    local tag = type(properties) == 'table' and type(message.headers) == 'table' and
        type(properties.delivery_info) == 'table' and properties.delivery_tag
    if type(tag) ~= 'string' or tag == '' then return 'r' .. raw end
    -- The same message twice: each needs its own entry.
    if redis.call('HEXISTS', unacked, tag) == 1 then
        tag = 'headgate ' .. worker .. ' ' .. string.format('%.0f', token)
    end
    return 't' .. tag
end

local function take_from_list(raw)
    local reference = reference_of(raw)
    if not take(raw, reference) then return false end
    if reference:sub(1, 1) == 't' then
        redis.call('HSET', unacked, reference:sub(2), '[' .. raw .. entry_end)
        renew(reference:sub(2), now)
    end
    return true
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, max)) do
    if max <= 0 then break end
    local entry = redis.call('HGET', delayed_jobs, id)
    if entry then
        local cut = entry:find('\n', 1, true)
        local payload = payload_of(entry:sub(cut + 1))
        -- Without a payload it is back in its list: whoever takes it starts anew.
        if payload and not take(payload, entry:sub(cut + 1), entry:sub(1, cut - 1)) then break end
    end
    redis.call('ZREM', delayed, id)
    redis.call('HDEL', delayed_jobs, id)
end
for _, list in ipairs(lists) do
    while max > 0 do
        local raw = redis.call('LINDEX', list, -1)
        if not raw or not take_from_list(raw) then break end
        redis.call('RPOP', list)
    end
end

local next_due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
if next_due then
    reply[2] = math.max(0, math.min(LOOK_AGAIN_MS, tonumber(next_due) - now))
end
return reply
