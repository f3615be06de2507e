-- What is believed of a model. Reads only.
--
-- KEYS cooldown, throttled, throttles
-- Returns {cooldown left in ms, mark left in ms, throttles of the last 60 s}; 0: none.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function left(key)
    local ms = redis.call('PTTL', key)
    -- A key without a TTL was set by hand: it holds until it is taken away.
    if ms == -1 then return 60000 end
    return math.max(0, ms)
end
local kind = redis.call('TYPE', KEYS[3]).ok
local throttles = kind == 'zset' and redis.call('ZCOUNT', KEYS[3], now - 60000, '+inf')
    or redis.call('EXISTS', KEYS[3])
return {left(KEYS[1]), left(KEYS[2]), throttles}
