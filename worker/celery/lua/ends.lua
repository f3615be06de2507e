-- Stands behind the prelude of settle, dead and beat: the end of a task, and what follows from it.

-- Sends a message. Its producer chose the list: where Redis refuses that (a key of another type, no
-- right to it), or it is one of kombu's own keys, which would stop every worker as a list, the message
-- waits in the list of this task's queue, and the task's end is written all the same.
local function send(list, message)
    if list == unacked or list == unacked_index or list == unacked_mutex then list = lists[1] end
    local answer = redis.pcall('LPUSH', list, message)
    if type(answer) == 'table' and answer.err then redis.call('LPUSH', lists[1], message) end
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
