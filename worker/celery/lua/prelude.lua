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

-- Sends a message. Its producer chose the list: where Redis refuses that (a key of another type, no
-- right to it), or it is one of kombu's own keys, which would stop every worker as a list, the message
-- waits in the list of this task's queue, and the task's end is written all the same.
local function send(list, message)
    if list == unacked or list == unacked_index or list == unacked_mutex then list = lists[1] end
    local answer = redis.pcall('LPUSH', list, message)
    if type(answer) == 'table' and answer.err then redis.call('LPUSH', lists[1], message) end
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

-- ---- chords: the keys and their meaning are those of celery/backends/redis.py ----

local function chord_key(results, group)
    return results:gsub('celery%-task%-meta%-$', 'celery-taskset-meta-') .. group
end

-- Counts a part. The parts of all when it was the last, nil when others are to come, false when the
-- body was sent already; the fourth that may be said is 'size': it is not known yet.
local function count_part(chord, results, ttl_ms)
    return in_results(function()
        local key = chord_key(results, chord.group)
        local parts, size, change = key .. '.j', key .. '.s', key .. '.t'
        local seen, claim = key .. '.d', key .. '.c'
        if redis.call('GET', claim) == 'done' then return false end
        local index = type(chord.index) == 'number' and string.format('%.0f', chord.index) or ''
        if redis.call('SADD', seen, chord.task .. ':' .. index) == 1 then
            redis.call('ZADD', parts, index == '' and '+inf' or index, chord.member)
        end
        for _, name in ipairs({parts, size, change, seen}) do
            redis.call('PEXPIRE', name, ttl_ms)
        end
        local expected = redis.call('GET', size)
        if not expected then return 'size' end
        local count = redis.call('ZCARD', parts)
        if count ~= tonumber(expected) + tonumber(redis.call('GET', change) or 0) then return nil end
        if redis.call('EXISTS', claim) == 1 then return false end -- a worker of Celery sends it
        local all = redis.call('ZRANGE', parts, 0, -1)
        redis.call('SET', claim, 'done', 'EX', 300)
        redis.call('DEL', parts, change, size, seen)
        return all
    end)
end

-- ValueError('text')
local function as_python(exception)
    local _, parts = pcall(cjson.decode, exception)
    if type(parts) ~= 'table' then return 'Exception()' end
    local text = type(parts.exc_message) == 'table' and parts.exc_message[1] or parts.exc_message
    return tostring(parts.exc_type) .. "('" .. tostring(text) .. "')"
end

local function fail_body(chord, results, ttl_ms, task, exception)
    local why = 'Dependency ' .. task .. ' raised ' .. as_python(exception)
    for _, id in ipairs(chord.ids) do
        publish(results .. id, '{"status":"FAILURE","result":{"exc_type":"ChordError",' ..
            '"exc_message":[' .. cjson.encode(why) .. '],"exc_module":"celery.exceptions"},' ..
            '"traceback":null,"children":[],"date_done":"' .. chord.date .. '","task_id":' ..
            cjson.encode(id) .. '}', ttl_ms)
    end
    for _, pair in ipairs(chord.errbacks) do send(pair[1], pair[2]) end
end

-- Chords begin: how many parts each has, and where values do not stand in a row, the results that
-- tell how they belong together.
local function begin_chords(deeds, results, ttl_ms)
    in_results(function()
        for _, size in ipairs(deeds.sizes or {}) do
            local key = chord_key(results, size[1])
            redis.call('SET', key .. '.s', size[2], 'PX', ttl_ms)
            redis.call('DEL', key .. '.c')
        end
        for _, save in ipairs(deeds.saves or {}) do
            redis.call('SET', chord_key(results, save[1]), save[2], 'PX', ttl_ms)
        end
    end)
end

-- The values of a group's results [[id, parent], [results of its members]], those of a task
-- [[id, parent], null]; nil when one is missing.
local function join(result, values)
    local id, members = result[1][1], result[2]
    if type(members) ~= 'table' then return values[id] end
    local joined = {}
    for i, member in ipairs(members) do
        joined[i] = join(member, values)
        if not joined[i] then return nil end
    end
    return '[' .. table.concat(joined, ', ') .. ']'
end

local function join_saved(chord, results, values)
    local text = in_results(function() return redis.pcall('GET', chord_key(results, chord.group)) end)
    if type(text) ~= 'string' then return nil end
    local is_well, joined = pcall(function() return join(cjson.decode(text).result, values) end)
    return is_well and joined
end

-- A part has ended. True when nothing more is to be done for it.
local function end_part(chord, results, ttl_ms)
    local all = count_part(chord, results, ttl_ms)
    if type(all) ~= 'table' then return all ~= 'size' end
    local row, by_task = {}, {}
    for _, part in ipairs(all) do
        local task, status, value =
            part:match('^%[%s*1%s*,%s*"([^"]*)"%s*,%s*"(%u+)"%s*,%s*(.*)%]%s*$')
        if status ~= 'SUCCESS' then
            fail_body(chord, results, ttl_ms, task or '', value or '')
            return true
        end
        row[#row + 1], by_task[task] = value, value
    end
    local values = join_saved(chord, results, by_task) or '[' .. table.concat(row, ', ') .. ']'
    begin_chords(chord, results, ttl_ms)
    for _, body in ipairs(chord.bodies) do
        local text = cjson.encode(body.before .. (body.takes_values and values or '') .. body.after)
        send(body.list, '{"body": ' .. text .. body.tail)
    end
    return true
end

-- What follows from an end: messages to be sent, ends of others, chords (canvas.h).
local function follow(text, results, ttl_ms)
    if text == '' then return end
    local deeds = cjson.decode(text)
    begin_chords(deeds, results, ttl_ms)
    for _, pair in ipairs(deeds.push or {}) do send(pair[1], pair[2]) end
    for _, pair in ipairs(deeds.ends or {}) do
        if status_of(results .. pair[1]) ~= 'SUCCESS' then
            publish(results .. pair[1], pair[2], ttl_ms)
        end
    end
    for _, chord in ipairs(deeds.chords or {}) do
        if not end_part(chord, results, ttl_ms) then
            -- Its producer sends the size behind the parts: beat.lua looks again.
            redis.call('HSET', extra_key(12), chord.group,
                cjson.encode({chord, results, ttl_ms, now_ms()}))
        end
    end
end

-- The job's end, written once: a success stays.
-- Returns 'ok' (or it was written already: a repeat), 'late' (it had succeeded before) or 'lost' (not
-- our claim).
local function finish(f)
    local reference = redis.call('HGET', f.inflight, f.token)
    if not reference then
        local stands = f.id ~= '' and in_results(function() return redis.pcall('GET', f.result) end)
        return stands == f.document and 'ok' or 'lost'
    end
    local outcome = 'late'
    if f.id == '' then
        outcome = 'ok'
    elseif status_of(f.result) ~= 'SUCCESS' then
        outcome = 'ok'
        follow(f.follow, f.result:sub(1, -#f.id - 1), f.ttl_ms)
        if f.document ~= '' then publish(f.result, f.document, f.ttl_ms) end
    end
    if outcome == 'ok' then redis.call('HINCRBY', f.stats, f.state, 1) end
    redis.call('HDEL', f.crashes, redis.sha1hex(reference))
    ack(reference)
    forget(f.inflight, f.begun, f.owners, f.worker, f.token, f.id)
    if f.id ~= '' then redis.call('ZREM', f.cancelled, f.id) end
    return outcome
end
