-- Whose job is it? Stands in front of claim.lua.
--
-- The tenant is the first of `tenant`, `user_id` and `session_id` of the job object that is a
-- text and not empty, else ''. Redis should not build a tree of 8 MiB for that: a name is
-- looked for as it is written, and whether it is one of the outermost object is counted from
-- the end of the job that is nearer. A name written with escapes is not found. What is no JSON, or
-- takes too many steps, may be anyone's; as long as it is no job it becomes a dead letter.

local TENANT_STEPS = 50000 -- about 10 ms
-- Of a job that is short: as many of these as are looked at in one call take no longer than a long one.
local SHORT_STEPS, STEPS_PER_BYTE = 1000, 1 / 8
-- Looking for a mark is a step more for so many bytes, as is looking for the end of a text.
local MARK_BYTES, TEXT_BYTES = 8, 1000
local PLAIN_BYTES = 256    -- of what can be looked at in one go
local TENANT_BYTES = 256   -- a longer name counts by its digest
local TENANT_NAMES = {'tenant', 'user_id', 'session_id'}
local QUOTE, BACKSLASH, OPEN = 34, 92, {[91] = true, [123] = true}
local find, byte, sub, match = string.find, string.byte, string.sub, string.match
local steps, most_steps

-- Where the text that opens at `at` closes.
local function text_end(json, at)
    local slashes, from
    repeat
        from = at
        at = steps < most_steps and find(json, '"', at + 1, true)
        steps = steps + 1 + ((at or #json) - from) / TEXT_BYTES
        if not at then return nil end
        slashes = at - 1
        while byte(json, slashes) == BACKSLASH and steps < most_steps do
            slashes, steps = slashes - 1, steps + 1
        end
    until (at - slashes) % 2 == 1
    return at
end

-- How many more objects and arrays open than close in [at, to). nil: too many steps.
local function depth_between(json, at, to)
    local depth = 0
    local function next_mark(from)
        local mark = find(json, '["%[%]{}]', from)
        steps = steps + ((mark or #json) - from) / MARK_BYTES
        return mark
    end
    at = next_mark(at)
    while at and at < to do
        local mark = byte(json, at)
        if mark == QUOTE then
            at = text_end(json, at)
        else
            depth = depth + (OPEN[mark] and 1 or -1)
            steps = steps + 1
        end
        if not at or steps >= most_steps then return nil end
        at = next_mark(at + 1)
    end
    return depth
end

-- Is this place in the outermost object and in none within? Soon seen where nothing opens before.
local function is_outermost(json, at)
    if at <= PLAIN_BYTES and match(sub(json, 1, at - 1), '^%s*{[^%[%]{}\\]*$') then return true end
    if at < #json / 2 then return depth_between(json, 1, at) == 1 end
    return depth_between(json, at, #json + 1) == -1
end

-- The text, as it is written, that the outermost object has under this name, or nil.
local function text_of(json, name)
    local at, last = find(json, '"' .. name .. '"', 1, true)
    while at and steps < most_steps do
        local value = byte(json, at - 1) ~= BACKSLASH and match(json, '^%s*:%s*()"', last + 1)
        if value and is_outermost(json, at) then
            local close = text_end(json, value)
            return close and sub(json, value + 1, close - 1)
        end
        steps = steps + 1
        at, last = find(json, '"' .. name .. '"', last, true)
    end
end

local function tenant_of(json)
    steps, most_steps = 0, math.min(TENANT_STEPS, SHORT_STEPS + #json * STEPS_PER_BYTE)
    for _, name in ipairs(TENANT_NAMES) do
        local text = text_of(json, name)
        if text and text ~= '' then
            if find(text, '\\', 1, true) and #text <= 6 * TENANT_BYTES then
                local is_read, value = pcall(cjson.decode, '["' .. text .. '"]')
                text = is_read and value[1] or text
            end
            return #text <= TENANT_BYTES and text or redis.sha1hex(text)
        end
    end
    return ''
end
