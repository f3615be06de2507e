-- How fast the whole cluster may call one model, learned from refusals alone: "empty to
-- empty". From one refusal under demand to the next a provider's bucket goes from empty to
-- empty, so what it accepted in between, by time, is its quota. docs/pacing.md explains it.
--
-- KEYS pace, pace of tokens: looked at only once tokens are known to be limited
-- ARGV 'take', configured calls a minute or 0, tokens a minute or 0, tokens to give back,
--              '1' if others were turned away just now, the tokens of each wanted call
--          -> {granted, number of the first, ms until the next, permits per 1000 s or -1: open,
--              1: tokens are limited}
--      'throttled', number, tokens, Retry-After in ms, 'requests', 'tokens' or '': a 429
--      'failed', number, tokens: a call got a 5xx, or no connection
--      'look' -> {permits per 1000 s or -1, tokens a minute or -1, ms until the next, ms since
--              somebody was turned away or -1, 'quota', 'tokens' or 'outage', of about the last
--              minute, a minute, permits, thousandths of refusals, and permits that there could
--              have been, 1: anything is known}
local NAMES = {
    -- of a quota; both hashes
    'quota',      -- units a second; 0: open, no throttle seen yet
    'cap',        -- units a second as configured; 0: not
    'unit',       -- what a call costs of it, smoothed
    'start',      -- the interval since the last throttle: its begin
    'sent',       -- accepted in it
    'probe',      -- permitted in it while somebody waited: the rate grows with it
    'due',        -- when the next permit is due (the clock of a GCRA)
    'burst',      -- how many calls may be overdue
    'dear',       -- throttles that one probe costs, smoothed
    'throttles',  -- since the last cut
    'known',      -- the quota before throttles came too early; probes that met one halve it
    'early',      -- throttles in a row that came too early
    'early_sent', -- and what was sent until they came
    'noise',      -- share of calls that are throttled at random; 0: none was seen to be
    'demand',     -- when somebody was last turned away
    'cut',        -- last permit before the last cut: throttles of earlier ones are echoes
    'window',     -- accepted since the last end of a pause
    -- of the model; first hash
    'number',     -- of the last permit
    'tokens',     -- of a call, smoothed
    'has_tokens', -- 1: the second hash counts
    'run',        -- first permit of a run of refusals
    'refused',    -- how many it has
    'pause',      -- nothing is sent before
    'pause_s',    -- how long the last one was; 0: none since the last cut
    'scout',      -- the one permit after a pause
    'emptied',    -- the pause came from throttles of requests (1) or tokens (2): a window may end
    'resume',     -- when such a pause ended last
    -- for people: of about the last minute, and how many seconds that is so far
    'seen', 'calls', 'refusals', 'allowed', 'span',
}
local GAIN, CAP_GAIN, PROBE_S, PROBE_N, GAP, DOUBLED, STOP_S = 0.97, 1.02, 25, 200, 0.05, 0.7, 0.2
local NOISE_RUN, NOISE_CALLS, NOISE_MAX, NOISE_LEAST, NOISE_SLACK = 4, 100, 0.2, 0.005, 2
local FIRST_BURST, FORGET_MS, SCOUT_S, PAUSE_MAX_S, FADE_S = 8, 600000, 0.5, 4, 60
local max, min, exp = math.max, math.min, math.exp

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function load(key)
    local s, stored = {}, redis.call('HMGET', key, unpack(NAMES))
    for i, name in ipairs(NAMES) do s[name] = tonumber(stored[i]) or 0 end
    if s.unit == 0 then s.unit, s.dear, s.burst, s.start = 1, 1, FIRST_BURST, now end
    return s
end
local model = load(KEYS[1])
local tokens = model.has_tokens == 1 and load(KEYS[2]) or nil
local quotas = {model, tokens}

-- A doubled quota is found in about PROBE_S; a throttle costs about one call in a hundred. If a
-- third and more was lost by throttles that came too early, they may have told of nothing: then
-- probes are shorter.
local function probe_end(s)
    local left = min(1, 1.5 * s.quota / max(s.known, s.quota))
    return max(PROBE_S * s.quota, PROBE_N * s.dear * s.unit * left)
end
local function progress(s) return (s.probe / probe_end(s)) ^ 3 end
-- Before the probe has come to the quota that was measured.
local function is_early(s) return GAIN * exp(progress(s)) < 1 end
-- Did somebody wait for most of what was sent? Else what was accepted is less than the quota.
local function was_demanded(s) return s.probe >= 0.8 * s.sent end
local function within_cap(s, rate) return s.cap > 0 and min(rate, s.cap) or rate end
local function rate(s)
    local learned = GAIN * s.quota * exp(min(progress(s), DOUBLED))
    return s.cap > 0 and min(learned, CAP_GAIN * s.cap) or learned
end
local function has_demand(s) return now - s.demand < max(1, 3 * s.unit / s.quota) end
local function earliest_due(s)
    return s.quota > 0 and max(s.due, now - s.burst * s.unit / rate(s)) or s.due
end
local function begin_interval(s) s.start, s.sent, s.probe = now, 0, 0 end
-- Throttles since the last cut that are no news: twice those that came at random before.
local function at_random(s) return 2 * s.noise * max(0, s.sent) / s.unit end
local function cheapen(s)
    s.dear, s.throttles = min(8, max(1, (s.dear + s.throttles - at_random(s)) / 2)), 0
end
local function is_stopped() return model.pause > now or model.pause_s > 0 and model.scout == 0 end

local function configure(s, per_minute)
    s.cap = per_minute / 60
    if s.cap > 0 and s.quota == 0 then s.due = now end
    if s.cap > 0 and (s.quota == 0 or s.quota > s.cap) then s.quota = s.cap end
end

-- From what is known on, tokens count, too.
local function limit_tokens()
    model.has_tokens = 1
    tokens = load(KEYS[2])
    tokens.unit, tokens.start = max(1, model.tokens), model.start
    tokens.sent = model.sent * tokens.unit
    quotas[2] = tokens
end

-- The quota whose next permit comes last.
local function scarce()
    return tokens and earliest_due(tokens) > earliest_due(model) and tokens or model
end

-- Seconds until a permit is due. The first one after a pause is a scout and passes.
local function wait()
    if model.pause > now then return model.pause - now end
    return is_stopped() and 0 or max(0, earliest_due(scarce()) - now)
end

-- All quotas together, in calls; -1: open.
local function permits_a_second()
    local least = -1
    for _, s in ipairs(quotas) do
        local r = s.quota > 0 and rate(s) / s.unit or -1
        if r >= 0 and (least < 0 or r < least) then least = r end
    end
    return least
end

-- From one end of a pause to the next, if they are a minute apart, is one window of the quota.
local function measure_window()
    local s = quotas[model.emptied]
    if s and s.quota > 0 and math.abs(now - model.resume - 60) < 8 then
        s.quota, s.probe, s.known = within_cap(s, s.window / 60), 0, 0
    end
    model.emptied, model.resume = 0, now
    for _, q in ipairs(quotas) do q.window = 0 end
end

local function spend(s, cost)
    s.due = earliest_due(s)
    s.noise = s.noise * (1 - 1 / NOISE_CALLS)
    if has_demand(s) then
        s.probe = s.probe + cost
        if progress(s) > DOUBLED then -- twice the quota and no throttle: it is another one
            s.quota = within_cap(s, 2 * s.quota)
            begin_interval(s)
            s.probe = 0.5 * probe_end(s)
        end
    elseif (now - s.due) * rate(s) < s.burst / 2 * s.unit then -- in a burst that nobody minds
        s.burst = min(s.burst + 0.2, 60 * s.quota / s.unit)
    end
    s.due = s.due + cost / rate(s)
end

local function accept(s, cost)
    s.sent, s.window = s.sent + cost, s.window + cost
    if s.quota > 0 then
        spend(s, cost)
    elseif now - s.start > 10 then -- open: the rate of the last 5 to 10 s
        s.sent, s.start = s.sent / 2, (now + s.start) / 2
    end
end

local function permit(cost)
    if model.number == 0 then model.tokens = cost end
    model.number, model.calls = model.number + 1, model.calls + 1
    model.tokens = model.tokens + 0.02 * (cost - model.tokens)
    accept(model, 1)
    if tokens then
        tokens.unit = max(1, model.tokens)
        accept(tokens, cost)
    end
    if model.scout > 0 and model.emptied > 0 then measure_window() end
    if model.pause_s > 0 and model.scout == 0 then
        model.scout, model.due = model.number, now + SCOUT_S
        if model.emptied == 0 then -- an outage is over: it would look like a quota that fell
            for _, s in ipairs(quotas) do begin_interval(s) end
        end
    end
end

-- What was not accepted after all; before a cut it was sent in an interval that is over.
local function take_back(calls, cost, number)
    for i, s in ipairs(quotas) do
        local units = i == 1 and calls or cost
        s.window = s.window - units
        if number > s.cut then s.sent = s.sent - units end
    end
end

-- A call was refused. True: nothing passes at all, so all calls pause.
local function stops(number, retry_after)
    if model.pause > now then return true end
    -- at high rates echoes run, too
    local many = retry_after > 2 and 2 or max(4, STOP_S * permits_a_second())
    local length = number - model.run + 1
    if model.refused < 0.5 * length or length > 10 * many then
        model.run, model.refused, length = number, 0, 1
    end
    model.refused = model.refused + 1
    local is_scout = number == model.scout
    if not is_scout and (model.refused < many or model.refused < 0.8 * length) then return false end
    model.pause_s = is_scout and min(PAUSE_MAX_S, 2 * model.pause_s) or 0.5
    -- Providers tell dates that are not so: one is believed when a scout was refused, too.
    model.pause = now + (is_scout and retry_after > 0 and min(retry_after, 60) or model.pause_s)
    model.scout, model.refused = 0, 0
    for _, s in ipairs(quotas) do s.cut = model.number end
    return true
end

-- Throttles that come early however little is sent tell of no quota. True: this is one of them, and
-- nothing is cut. When that is seen first, what was known before they began holds again.
local function bear_noise(s)
    if s.noise > NOISE_LEAST then
        if is_early(s) then s.noise = s.noise + 1 / NOISE_CALLS end
        s.early, s.early_sent = 0, 0
        return s.throttles <= NOISE_SLACK + at_random(s)
    elseif s.early < NOISE_RUN or not is_early(s) or not was_demanded(s) then
        return false
    end
    s.noise, s.quota = min(NOISE_MAX, s.early * s.unit / s.early_sent), s.known
    s.early, s.early_sent, s.throttles = 0, 0, 0
    begin_interval(s)
    return true
end

-- A quota that was halved is followed at once; what comes then may be throttles at random.
local function follow_fall(s, sent, measured)
    local trust = not was_demanded(s) and 0.6 or s.quota > 0.5 * s.known and 1 or 0.5
    local fall = trust * max(0, 1 - measured / s.quota)
    if was_demanded(s) and fall < 0.5 then
        s.early, s.early_sent = s.early + trust, s.early_sent + trust * sent
    end
    s.known = max(s.known, s.quota)
    s.quota = s.quota * (1 - min(0.5, fall))
end

-- The quota is met. Before the probe has come far, it has fallen; while nobody waited, only the
-- burst was too deep.
local function cut(s)
    local sent, is_guess = max(0, s.sent) + s.unit, s.quota == 0
    local measured = sent / max(now - s.start, 0.1)
    if not is_guess and bear_noise(s) then return end
    s.cut = model.number
    if is_guess then
        s.quota, s.due = max(s.unit, measured), now
    elseif s.burst > 1.5 and not has_demand(s) then
        s.burst = max(1, 0.6 * s.burst)
        s.due = max(s.due, now + GAP + s.unit / s.quota)
        return
    elseif is_early(s) or not was_demanded(s) then
        follow_fall(s, sent, measured)
    else
        if progress(s) > 0.5 ^ 3 then s.known = s.known / 2 end
        s.early, s.early_sent = 0, 0
        s.quota = min(max(s.quota, rate(s)), max(0.8 * s.quota, measured))
    end
    s.quota = within_cap(s, max(s.quota, 0.02 * s.unit))
    cheapen(s)
    if is_guess then s.dear = 0.1 end -- the first probe is a short one
    begin_interval(s)
    model.pause_s, model.scout = 0, 0
    s.due = max(s.due, now + GAP + 2 * s.unit / s.quota)
end

-- What people are shown fades within about a minute.
local function fade()
    local permits, past = permits_a_second(), model.seen > 0 and now - model.seen or 0
    local keep = exp(-past / FADE_S)
    for _, name in ipairs({'calls', 'refusals', 'allowed', 'span'}) do
        model[name] = model[name] * keep
    end
    model.span = model.span + FADE_S * (1 - keep)
    model.allowed = permits < 0 and model.calls or model.allowed + permits * FADE_S * (1 - keep)
    model.seen = now
end

local operations = {}
function operations.take(rpm, tpm, refund, turned_away, ...)
    local wanted, granted, first = {...}, 0, model.number + 1
    configure(model, rpm)
    if tpm > 0 and not tokens then limit_tokens() end
    if tokens then
        configure(tokens, tpm)
        if tokens.quota > 0 then tokens.due = tokens.due - refund / rate(tokens) end
    end
    take_back(0, refund, first)
    fade()
    local left = wait()
    while left <= 0.000001 and granted < #wanted do
        permit(wanted[granted + 1])
        granted, left = granted + 1, wait()
    end
    if granted < #wanted or turned_away == 1 then scarce().demand = now end
    local permits = permits_a_second()
    return {granted, first, math.ceil(left * 1000), permits < 0 and -1
            or math.floor(permits * 1000), model.has_tokens}
end
function operations.throttled(number, cost, retry_after_ms, limit)
    if limit == 'tokens' and not tokens then limit_tokens() end
    local is_further = tokens and progress(tokens) > progress(model)
    local s = limit ~= 'requests' and (limit == 'tokens' or is_further) and tokens or model
    local was_stopped = model.pause > now or number == model.scout
    take_back(1, cost, number)
    s.throttles, model.refusals = s.throttles + 1, model.refusals + 1
    if not stops(number, retry_after_ms / 1000) then
        if number > s.cut then cut(s) end
    elseif not was_stopped then
        model.emptied = s == tokens and 2 or 1
        cheapen(s)
    end
end
function operations.failed(number, cost)
    take_back(1, cost, number)
    stops(number, 0)
end
function operations.look()
    local permits, demand = permits_a_second(), model.demand
    fade()
    local minute = 60 / max(1, model.span)
    if tokens then demand = max(demand, tokens.demand) end
    local why = is_stopped() and model.emptied == 0 and 'outage'
        or scarce() == tokens and 'tokens' or 'quota'
    return {permits < 0 and -1 or math.floor(permits * 1000),
            tokens and tokens.quota > 0 and math.floor(rate(tokens) * 60) or -1,
            math.ceil(wait() * 1000), demand > 0 and math.floor((now - demand) * 1000) or -1, why,
            math.floor(model.calls * minute + 0.5), math.floor(model.refusals * minute * 1000 + 0.5),
            math.floor(model.allowed * minute + 0.5), model.number > 0 and 1 or 0}
end

local arguments = {}
for i = 2, #ARGV do arguments[i - 1] = tonumber(ARGV[i]) or ARGV[i] end
local reply = operations[ARGV[1]](unpack(arguments))
if ARGV[1] == 'look' then return reply end
for i, s in ipairs(quotas) do
    local fields = {}
    for _, name in ipairs(NAMES) do
        fields[#fields + 1] = name
        fields[#fields + 1] = string.format('%.17g', s[name])
    end
    redis.call('HSET', KEYS[i], unpack(fields))
    redis.call('PEXPIRE', KEYS[i], FORGET_MS)
end
return reply
