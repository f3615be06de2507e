-- Which messages wait for a date. They are all workers' together: one of them, the first by its name,
-- lists them. Reads only.
--
-- KEYS workers, delayed, delayed_jobs
-- ARGV worker, how many at most
-- Returns {due in Unix ms, message, ...}.
local workers, delayed, delayed_jobs = unpack(KEYS)
local now, first, found = now_ms(), nil, {}

for _, name in ipairs(redis.call('ZRANGEBYSCORE', workers, now, '+inf')) do
    if not first or name < first then first = name end
end
if first ~= ARGV[1] then return found end
local ids = redis.call('ZRANGE', delayed, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
for i = 1, #ids, 2 do
    local entry = redis.call('HGET', delayed_jobs, ids[i])
    local payload = entry and payload_of(entry:sub(entry:find('\n', 1, true) + 1))
    if payload then
        found[#found + 1] = ids[i + 1]
        found[#found + 1] = payload
    end
end
return found
