-- How fast the whole cluster may call one model, learned from refusals alone: "empty to
-- empty". From one refusal under demand to the next a provider's bucket goes from empty to
-- empty, so what it accepted in between, by time, is its quota. docs/pacing.md explains it.
--
-- KEYS pace
-- ARGV 'take', how many are wanted, '1' if others were turned away since the last take
--          -> {granted, number of the first, ms until the next, permits per 1000 s or -1: open}
--      'throttled', number, Retry-After in ms: a call with this permit got a 429
--      'failed', number: it got a 5xx, or no connection
local NAMES = {
    'quota',      -- permits a second; 0: open, no throttle seen yet
    'start',      -- the interval since the last throttle: its begin
    'sent',       -- accepted in it
    'probe',      -- permits in it while somebody waited: the rate grows with them
    'due',        -- when the next permit is due (the clock of a GCRA)
    'burst',      -- how many permits may be overdue
    'dear',       -- throttles that one probe costs, smoothed
    'throttles',  -- since the last cut
    'demand',     -- when somebody was last turned away
    'number',     -- of the last permit
    'cut',        -- and at the last cut: throttles of earlier ones are echoes
    'run',        -- first permit of a run of refusals
    'refused',    -- how many it has
    'pause',      -- nothing is sent before
    'pause_s',    -- how long the last one was; 0: none since the last cut
    'scout',      -- the one permit after a pause
    'emptied',    -- 1: the pause came from throttles, so a window may end with it
    'resume',     -- when such a pause ended last
    'window',     -- accepted since
}
local GAIN, PROBE_S, PROBE_N, GAP, DOUBLED, STOP_S = 0.97, 25, 200, 0.05, 0.7, 0.2
local FIRST_BURST, FORGET_MS, SCOUT_S, PAUSE_MAX_S = 8, 600000, 0.5, 4
local max, min = math.max, math.min

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local s, stored = {}, redis.call('HMGET', KEYS[1], unpack(NAMES))
for i, name in ipairs(NAMES) do s[name] = tonumber(stored[i]) or 0 end

-- A doubled quota is found in about PROBE_S; a throttle costs about one call in a hundred.
local function progress() return (s.probe / max(PROBE_S * s.quota, PROBE_N * s.dear)) ^ 3 end
local function rate() return GAIN * s.quota * math.exp(min(progress(), DOUBLED)) end
local function has_demand() return now - s.demand < max(1, 3 / s.quota) end
local function earliest_due() return s.quota > 0 and max(s.due, now - s.burst / rate()) or s.due end
local function begin_interval() s.start, s.sent, s.probe = now, 0, 0 end
local function cheapen() s.dear, s.throttles = min(8, max(1, (s.dear + s.throttles) / 2)), 0 end

-- Seconds until a permit is due. The first one after a pause is a scout and passes.
local function wait()
    if s.pause > now then return s.pause - now end
    if s.pause_s > 0 and s.scout == 0 then return 0 end
    return max(0, earliest_due() - now)
end

-- From one end of a pause to the next, if they are a minute apart, is one window of the quota.
local function measure_window()
    if math.abs(now - s.resume - 60) < 8 then s.quota, s.probe = s.window / 60, 0 end
    s.emptied, s.resume, s.window = 0, now, 0
end

local function spend()
    s.due = earliest_due()
    if has_demand() then
        s.probe = s.probe + 1
        if progress() > DOUBLED then -- twice the quota and no throttle: it is another one
            s.quota = 2 * s.quota
            begin_interval()
            s.probe = 0.5 * max(PROBE_S * s.quota, PROBE_N * s.dear)
        end
    elseif (now - s.due) * rate() < s.burst / 2 then -- deep in a burst that nobody minds
        s.burst = min(s.burst + 0.2, 60 * s.quota)
    end
    s.due = s.due + 1 / rate()
end

local function permit()
    s.number, s.sent, s.window = s.number + 1, s.sent + 1, s.window + 1
    if s.number == 1 then s.dear, s.burst, s.start = 1, FIRST_BURST, now end
    if s.quota > 0 then
        spend()
    elseif now - s.start > 10 then -- open: the rate of the last 5 to 10 s
        s.sent, s.start = s.sent / 2, (now + s.start) / 2
    end
    if s.scout > 0 and s.emptied == 1 and s.quota > 0 then measure_window() end
    if s.pause_s > 0 and s.scout == 0 then s.scout, s.due = s.number, now + SCOUT_S end
end

-- A call was refused. True: nothing passes at all, so all calls pause.
local function stops(number, retry_after)
    if s.pause > now then return true end
    local length = number - s.run + 1
    if s.refused < 0.5 * length then s.run, s.refused, length = number, 0, 1 end
    s.refused = s.refused + 1
    local many = retry_after > 2 and 2 or max(4, STOP_S * s.quota) -- at high rates echoes run, too
    local is_scout = number == s.scout
    if not is_scout and (s.refused < many or s.refused < 0.8 * length) then return false end
    s.pause_s = min(PAUSE_MAX_S, max(0.5, 2 * s.pause_s))
    -- Providers tell dates that are not so: one is believed when a scout was refused, too.
    s.pause = now + (is_scout and retry_after > 0 and min(retry_after, 60) or s.pause_s)
    s.scout, s.refused, s.cut = 0, 0, s.number
    return true
end

-- The quota is met. Before the probe has come far, it has fallen; while nobody waited, only the
-- burst was too deep.
local function cut()
    local measured, is_guess = s.sent / max(now - s.start, 0.1), false
    s.cut = s.number
    if s.quota == 0 then
        s.quota, s.due, is_guess = max(1, measured), now, true
    elseif s.burst > 1.5 and not has_demand() then
        s.burst = max(1, 0.6 * s.burst)
        s.due = max(s.due, now + GAP + 1 / s.quota)
        return
    elseif progress() < 0.25 ^ 3 or s.probe < 0.8 * s.sent then
        s.quota = s.quota * min(1, max(0.8, 0.6 + 0.4 * measured / s.quota))
    else
        s.quota = min(max(s.quota, rate()), max(0.8 * s.quota, measured))
    end
    s.quota = max(s.quota, 0.02)
    cheapen()
    if is_guess then s.dear = 0.1 end -- the first probe is a short one
    begin_interval()
    s.pause_s, s.scout = 0, 0
    s.due = max(s.due, now + GAP + 2 / s.quota)
end

local operations = {}
function operations.take(wanted, turned_away)
    local granted, first = 0, s.number + 1
    local left = wait()
    while left <= 0.000001 and granted < wanted do
        if wanted - granted > 1 then s.demand = now end
        permit()
        granted, left = granted + 1, wait()
    end
    if granted < wanted or turned_away == 1 then s.demand = now end
    return {granted, first, math.ceil(left * 1000),
            s.quota > 0 and math.floor(rate() * 1000) or -1}
end
function operations.throttled(number, retry_after_ms)
    local was_stopped = s.pause > now or number == s.scout
    s.sent, s.window, s.throttles = s.sent - 1, s.window - 1, s.throttles + 1
    if not stops(number, retry_after_ms / 1000) then
        if number > s.cut then cut() end
    elseif not was_stopped then
        s.emptied = 1
        cheapen()
    end
end
function operations.failed(number)
    s.sent, s.window = s.sent - 1, s.window - 1
    stops(number, 0)
end

local reply = operations[ARGV[1]](tonumber(ARGV[2]), tonumber(ARGV[3]))
local fields = {}
for _, name in ipairs(NAMES) do
    fields[#fields + 1] = name
    fields[#fields + 1] = string.format('%.17g', s[name])
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('PEXPIRE', KEYS[1], FORGET_MS)
return reply
