-- Counts one request of a caller: GCRA, in nanoseconds. KEYS[1] is the caller under a policy; ARGV are the policy's
-- interval and burst, and the time until the burst is whole again by a replica's own count, or 0 if the store's count
-- is complete. Returns the time that the request must wait (0: it is admitted) and the time until the burst is whole.
--
-- The stored value is the theoretical arrival time, as text: nanoseconds since 1970 exceed the integers that a Lua
-- number holds exactly (2^53). So seconds and nanoseconds are read separately, and the arithmetic uses spans of a day
-- at most.
local interval, burst, unreported = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local seconds, nanos = tonumber(time[1]), time[2] * 1000
local ahead = unreported
local arrival = redis.call('GET', KEYS[1])
if arrival then
  ahead = math.max(ahead, (arrival:sub(1, -10) - seconds) * 1000000000 + (arrival:sub(-9) - nanos))
end
-- If the clock was set back, no caller is locked out for longer than a burst takes. The capped value is stored also
-- for a refused request: otherwise the clock would have to catch up before one is admitted.
local is_beyond = ahead > burst * interval
ahead = math.min(ahead, burst * interval)
local wait = math.max(0, ahead - (burst - 1) * interval)
if wait == 0 then
  ahead = ahead + interval
elseif unreported == 0 and not is_beyond then
  return {wait, ahead}
end
nanos = nanos + ahead
seconds = seconds + math.floor(nanos / 1000000000)
arrival = string.format('%d%09d', seconds, nanos % 1000000000)
-- The key expires when the burst is whole again, never earlier: expiry is counted in whole milliseconds.
redis.call('SET', KEYS[1], arrival, 'PX', math.floor(ahead / 1000000) + 2)
return {wait, ahead}
