-- Admits attempts, in their order, until one has to wait.
-- ARGV: 2 user, 3 lease, 4 horizon (seconds); how the pool starts: 5 most in flight, 6
-- cautious, 7 to 9 limits a minute; then booking, input and output tokens of each.
-- Answers the state of the pool; in how many seconds each of them may leave; and where
-- one waits: 'wait', for how long, why, and how many of other users come first.
local user, lease_s, horizon_s = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local LOOK_AGAIN_S = 0.25
-- Of the time for which a request is in flight: so much of a place is lost where it
-- waits for another process to look.
local UNUSED_SHARE, SOONEST_S, LATEST_S = 1 / 16, 0.02, 0.5
local WORDS = {requests = 'requests', input = 'input tokens', output = 'output tokens'}

-- Found by those who look at all pools. The first thing that is written: a server that
-- is full refuses it, and would let a script go on that has removed something before.
redis.call('HSET', POOLS, string.match(STATE, ':limits:(.*)$'), exact(now))
local p = load()
if not p.at then
  -- Nobody has used this pool of late, or the server has forgotten it: half of the
  -- smallest bucket is believed to be there, and what time brings from now on.
  p = {at = now, left = 0, last_at = 0, turn = 0, probe = '', opens = 1, ramp = 0}
  p.most, p.most_at_first, p.cool_until = tonumber(ARGV[5]), tonumber(ARGV[5]), 0
  p.paused_until, p.limited_since, p.limited_at, p.crowded_since = 0, 0, 0, 0
  p.cautious, p.second_at, p.second_left, p.second_before = tonumber(ARGV[6]), now, 0, 0
  p.before_per_s = 0
  for i, kind in ipairs(KINDS) do
    local rate = tonumber(ARGV[6 + i])
    p['rate_' .. kind] = rate
    p['level_' .. kind] = kind == 'requests' and 1 or (rate or 0) / 120
  end
  grow(p, FIRST_PER_S, 1)
end
refill(p)
if tonumber(ARGV[5]) > p.most_at_first then
  -- A process that sends little must not hold back one that may send more.
  p.most = p.most < p.most_at_first and p.most or tonumber(ARGV[5])
  p.most_at_first = tonumber(ARGV[5])
end

for _, dead in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', exact(now))) do
  let_go(dead)
end
if redis.call('ZCARD', LEASES) == 0 then
  redis.call('DEL', USERS)
end

local function alive(other)
  -- What a user in line needs; nothing if it did not come when its turn was due.
  local due, input, output, place = string.match(
    redis.call('HGET', NEEDS, other) or '0 0 0', '(%S+) (%S+) (%S+) ?(%S*)')
  if tonumber(due) + GRACE_S < now then
    redis.call('ZREM', LINE, other)
    redis.call('HDEL', NEEDS, other)
    return nil
  end
  return tonumber(input), tonumber(output), place == 'place'
end

local function place_taken()
  -- Places in flight go to who has the fewest: for how long there is none for us.
  local free = math.floor(p.most) - redis.call('ZCARD', LEASES)
  local ours, seen, first = in_flight_of(user), false, 0
  for _, other in ipairs(redis.call('ZRANGE', LINE, 0, -1)) do
    if other == user then
      seen = true
    else
      local _, _, wants_place = alive(other)
      if wants_place then
        local theirs = in_flight_of(other)
        if theirs < ours or theirs == ours and not seen then
          first = first + 1
        end
      end
    end
  end
  if first < free then
    return nil
  end
  -- Nobody tells us of a place: those who are next look more often.
  if not p.held_s then
    return LOOK_AGAIN_S, first
  end
  local expected_s = (first + 0.5 - free) * p.held_s / p.most
  return math.max(SOONEST_S, math.min(LATEST_S,
    math.max(expected_s, p.held_s * UNUSED_SHARE))), first
end

local function shut()
  -- For how long nothing leaves, whatever it is, and why.
  if p.paused_until > now then
    return p.paused_until - now, 'rate limited'
  end
  if p.limited_since > 0 and p.probe ~= '' and redis.call('ZSCORE', LEASES, p.probe) then
    return LOOK_AGAIN_S, 'rate limited'
  end
  if p.cautious == 1 and p.last_at + UNKNOWN_LIMITS_GAP_S > now then
    return p.last_at + UNKNOWN_LIMITS_GAP_S - now, 'first answer'
  end
end

local function before_us()
  -- First come, first served, over all hosts: what those before this user need.
  local ahead = {requests = 0, input = 0, output = 0}
  for _, other in ipairs(redis.call('ZRANGE', LINE, 0, -1)) do
    if other == user then
      break
    end
    local input, output = alive(other)
    if input then
      ahead.requests = ahead.requests + 1
      ahead.input = ahead.input + input
      ahead.output = ahead.output + output
    end
  end
  return ahead
end

local allowed, used

local function turn_of(need, ahead)
  -- In how many seconds buckets and gentle start let it leave, and which does not yet.
  local longest, reason = 0, ''
  -- The first one of an account that was idle finds full buckets: what it takes is a
  -- debt.
  if p.left > 0 or ahead.requests > 0 then
    for _, kind in ipairs(KINDS) do
      local rate = p['rate_' .. kind]
      if rate then
        -- What is larger than the bucket leaves when that is full, and leaves a debt.
        local least = math.min(need[kind], capacity(kind, rate))
        local seconds = (least + ahead[kind] - p['level_' .. kind]) * 60 / rate
        if seconds > longest then
          longest, reason = seconds, WORDS[kind] .. ' per minute'
        end
      end
    end
  end
  allowed = p.grow_first * 2 ^ (math.min(now - p.grow_at, 60) / DOUBLING_S)
  used = math.max(p.grow_used, allowed - p.grow_at_once)
  if allowed * math.log(2) / DOUBLING_S * 0.001 <= 1 then
    local seconds = p.grow_at + DOUBLING_S * math.log((used + 1) / p.grow_first) / math.log(2) - now
    if seconds > longest then
      longest, reason = seconds, 'gentle start'
    end
  end
  -- Those that were let go a moment ahead of their time leave first, whatever has been
  -- given back since.
  return math.max(longest, math.min(p.last_at - now, horizon_s)), reason
end

local function queue_up(need, seconds, place)
  if not redis.call('ZSCORE', LINE, user) then
    p.turn = p.turn + 1
    redis.call('ZADD', LINE, exact(p.turn), user)
  end
  redis.call('HSET', NEEDS, user,
    exact(now + seconds) .. ' ' .. exact(need.input) .. ' ' .. exact(need.output) .. place)
end

local function leave(booking, need, seconds)
  redis.call('ZREM', LINE, user)
  redis.call('HDEL', NEEDS, user)
  for _, kind in ipairs(KINDS) do
    local rate = p['rate_' .. kind]
    if rate then
      -- Of a full bucket a moment is never used: its requests are late, some less than
      -- others, and who overtakes would find the API's bucket not yet filled again.
      local sure = kind == 'requests' and math.huge
        or capacity(kind, rate) - (CLUMP_S + seconds) * rate / 60
      p['level_' .. kind] = math.min(p['level_' .. kind], sure) - need[kind]
    end
  end
  p.left, p.last_at, p.grow_used = p.left + 1, now + seconds, used + 1
  if now - p.second_at > 1 then
    p.second_before = now - p.second_at > 2 and 0 or p.second_left
    p.second_at, p.second_left = now, 0
  end
  p.second_left = p.second_left + 1
  if p.limited_since > 0 then
    p.probe = booking
  end
  redis.call('HSET', BOOKED, booking,
    exact(need.input) .. ' ' .. exact(need.output) .. ' ' .. exact(now + seconds))
  redis.call('ZADD', LEASES, exact(now + lease_s), booking)
  redis.call('HINCRBY', USERS, user, 1)
end

local verdicts = {}

local function waits(seconds, reason, first)
  for _, value in ipairs({'wait', exact(seconds), reason, first}) do
    verdicts[#verdicts + 1] = value
  end
end

for i = 10, #ARGV, 3 do
  local booking = ARGV[i]
  local need = {requests = 1, input = tonumber(ARGV[i + 1]), output = tonumber(ARGV[i + 2])}
  if redis.call('HEXISTS', BOOKED, booking) == 1 then
    -- Asked again after a lost answer: it counts once.
    verdicts[#verdicts + 1] = '0'
  else
    local seconds, reason = shut()
    if seconds then
      waits(seconds, reason, 0)
      break
    end
    local first
    seconds, first = place_taken()
    if seconds then
      queue_up(need, seconds, ' place')
      waits(seconds, 'requests in flight', first)
      break
    end
    local ahead = before_us()
    seconds, reason = turn_of(need, ahead)
    -- Who is far away may ask early, but not for the turns of those who wait.
    local most_s = ahead.requests > 0 and AHEAD_S or horizon_s
    if seconds > most_s then
      queue_up(need, seconds, '')
      -- On time it would be late, by its way here and back.
      waits(seconds - most_s / 2, reason, ahead.requests)
      break
    end
    leave(booking, need, seconds)
    verdicts[#verdicts + 1] = exact(seconds)
  end
end

save(p)
local answer = state(p, {})
for _, each in ipairs(verdicts) do
  answer[#answer + 1] = each
end
return answer
