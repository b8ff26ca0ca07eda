-- One request of a caller: GCRA, in nanoseconds. KEYS[1] is the caller under a policy; ARGV are the policy's interval
-- and burst, and how long until the burst is whole again as a replica knows it, if the store may know less, else 0.
-- Returns how long the request must wait (0: it passes) and how long until the burst is whole again.
--
-- What is kept is the theoretical arrival time, as text: nanoseconds since 1970 are more than a number of Lua holds
-- exactly (2^53). So seconds and nanoseconds are read apart, and what is reckoned with are spans, a day at most.
local interval, burst, unheard = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local seconds, nanos = tonumber(time[1]), time[2] * 1000
local ahead = unheard
local arrival = redis.call('GET', KEYS[1])
if arrival then
  ahead = math.max(ahead, (arrival:sub(1, -10) - seconds) * 1000000000 + (arrival:sub(-9) - nanos))
end
-- A clock that was set back locks nobody out for longer than a burst takes. That is kept also of a request that is
-- refused: else the clock would have to catch up before one passes.
local is_beyond = ahead > burst * interval
ahead = math.min(ahead, burst * interval)
local wait = math.max(0, ahead - (burst - 1) * interval)
if wait == 0 then
  ahead = ahead + interval
elseif unheard == 0 and not is_beyond then
  return {wait, ahead}
end
nanos = nanos + ahead
seconds = seconds + math.floor(nanos / 1000000000)
arrival = string.format('%d%09d', seconds, nanos % 1000000000)
-- Forgotten when the burst is whole again, never earlier: expiry is counted in whole milliseconds.
redis.call('SET', KEYS[1], arrival, 'PX', math.floor(ahead / 1000000) + 2)
return {wait, ahead}
