-- Puts a dead letter's job back into the queue; its old result is forgotten, so
-- that it runs again.
--
-- KEYS dead, queue, result, reply
-- ARGV letter, payload, 1 when there is an id and so a result
-- Returns 1, or 0 when the letter is not there.
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
-- First of all, as it may be refused: what stands at the queue's key may be no list.
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('LREM', KEYS[1], 1, ARGV[1])
-- A result that succeeded stays: another copy of the job was answered, and paid for.
if ARGV[3] == '1' then
    local head = redis.call('GETRANGE', KEYS[3], 0, 2047)
    local state = head:match('^{"id":".-","state":"(%a+)"')
    if state ~= 'succeeded' then redis.call('DEL', KEYS[3], KEYS[4]) end
end
return 1
