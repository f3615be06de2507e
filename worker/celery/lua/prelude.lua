-- Stands in front of every script of this folder. These are the steps of a job (queue.h) on
-- queues of Celery: messages wait in four lists by priority, and one that was taken lies in
-- `unacked` and `unacked_index`, as kombu's workers have it, so that they and we can take over
-- each other's. There is no Redis Cluster with kombu: keys need not share a slot.
--
-- What we hold of a message in our own records is a reference: 't' and its tag, or 'r' and the
-- text itself, of one that would break a worker of Celery that restores it, and so is not shown to it.
--
-- Every list of keys ends with: the four lists, unacked, unacked_index, unacked_mutex, kept (tag to
-- when its entry was renewed), swept, binding, binding_permanent, chords (group to a part that
-- waits for its chord's size). Every list of arguments ends with:
-- the queue's name as JSON, the databases of broker and results, the visibility timeout in
-- ms, the prefix of the broker's keys.
--
-- What may be refused (out of memory) is always written first, what frees memory last.
local EXTRA_KEYS, EXTRA_ARGS = 12, 5
local function extra_key(i) return KEYS[#KEYS - EXTRA_KEYS + i] end
local function extra_arg(i) return ARGV[#ARGV - EXTRA_ARGS + i] end

local lists = {extra_key(1), extra_key(2), extra_key(3), extra_key(4)}
local unacked, unacked_index, unacked_mutex = extra_key(5), extra_key(6), extra_key(7)
local kept = extra_key(8)
local entry_end = ', "", ' .. extra_arg(1) .. ']'
local broker_db, results_db = extra_arg(2), extra_arg(3)

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- kombu's clock: seconds as a float.
local function seconds(ms) return string.format('%.3f', ms / 1000) end

-- Results may live in another database of the same server.
local function in_results(action)
    if results_db == broker_db then return action() end
    redis.call('SELECT', results_db)
    local outcome = action()
    redis.call('SELECT', broker_db)
    return outcome
end

-- SUCCESS, FAILURE, ...; '' when there is no document, or what is no document.
local function status_of(result)
    return in_results(function()
        local head = redis.pcall('GETRANGE', result, 0, 63)
        if type(head) == 'table' or head == '' then return '' end
        local status = head:match('^{"status":%s?"(%u+)"')
        if status then return status end
        local is_json, document = pcall(cjson.decode, redis.call('GET', result))
        return is_json and type(document) == 'table' and document.status or ''
    end)
end

local function publish(result, document, ttl_ms)
    in_results(function()
        redis.call('SET', result, document, 'PX', ttl_ms)
        redis.call('PUBLISH', result, document)
    end)
end

-- The message as it came, or false: a worker of Celery has restored it.
local function payload_of(reference)
    if reference:sub(1, 1) == 'r' then return reference:sub(2) end
    local entry = redis.call('HGET', unacked, reference:sub(2))
    if not entry or entry:sub(-#entry_end) ~= entry_end then return false end
    return entry:sub(2, -#entry_end - 1)
end

local function renew(tag, now)
    redis.call('ZADD', kept, now, tag)
    redis.call('ZADD', unacked_index, seconds(now), tag)
end

local function ack(reference)
    if reference:sub(1, 1) == 'r' then return end
    redis.call('ZREM', kept, reference:sub(2))
    redis.call('ZREM', unacked_index, reference:sub(2))
    redis.call('HDEL', unacked, reference:sub(2))
end

-- Takes a claim out of the worker's record. An owner is "<worker> <token> <reference>".
local function forget(inflight, begun, owners, worker, token, id)
    local owner = id ~= '' and redis.call('HGET', owners, id)
    redis.call('HDEL', inflight, token)
    redis.call('HDEL', begun, token)
    local me = worker .. ' ' .. token .. ' '
    if owner and owner:sub(1, #me) == me then redis.call('HDEL', owners, id) end
end

-- A message that was served before says so, as with kombu. Its text is changed by insertion
-- alone: numbers and empty lists do not survive cjson.
local function mark(raw)
    local function insert(text, object)
        local at, last = text:find('"' .. object .. '"%s*:%s*{')
        if not at then return text end
        local rest = text:sub(last + 1)
        local comma = rest:match('^%s*}') and '' or ', '
        return text:sub(1, last) .. '"redelivered": true' .. comma .. rest
    end
    local is_json, message = pcall(cjson.decode, raw)
    if not is_json or type(message) ~= 'table' or type(message.headers) ~= 'table' then
        return raw
    end
    local info = type(message.properties) == 'table' and message.properties.delivery_info
    local marked = raw
    if message.headers.redelivered == nil then marked = insert(marked, 'headers') end
    if type(info) == 'table' and info.redelivered == nil then
        marked = insert(marked, 'delivery_info')
    end
    local is_well, again = pcall(cjson.decode, marked)
    if not is_well or not again.headers.redelivered then return raw end
    return marked
end

-- Which list a message of this priority waits in, of four: the first is the most urgent.
local function step_of(raw)
    local is_json, message = pcall(cjson.decode, raw)
    local properties = is_json and type(message) == 'table' and message.properties
    local priority = type(properties) == 'table' and tonumber(properties.priority) or 0
    return math.max(1, math.min(4, math.floor(priority / 3) + 1))
end

-- Gives a claim back, to be served next: no attempt is spent. One with a history (failed or waited
-- before) becomes a delayed one that is due. False when a worker of Celery has restored it.
local function give_back(keys, worker, token, now)
    local reference = redis.call('HGET', keys.inflight, token)
    if not reference then return false end
    local payload = payload_of(reference)
    local history = redis.call('HGET', keys.begun, token)
    local attempts, waits, id = '0', '0', ''
    if history then attempts, waits, id = history:match('^(%d+) (%d+) %d+ (.*)$') end
    local me = worker .. ' ' .. token .. ' '
    local owner = id ~= '' and redis.call('HGET', keys.owners, id)
    local is_begun = owner and owner:sub(1, #me) == me
    if payload and (attempts ~= '0' or waits ~= '0') then
        redis.call('HSET', keys.delayed_jobs, id, history .. '\n' .. reference)
        redis.call('ZADD', keys.delayed, now, id)
    elseif payload then
        redis.call('RPUSH', lists[step_of(payload)], mark(payload))
        ack(reference)
    end
    forget(keys.inflight, keys.begun, keys.owners, worker, token, id)
    return payload, is_begun, reference
end
