-- Admits an attempt, or says when to ask again.
-- ARGV: 2 user, 3 booking, 4 and 5 tokens, 6 lease, 7 horizon (seconds); how the pool
-- starts: 8 most in flight, 9 cautious, 10 to 12 limits a minute.
local user, booking = ARGV[2], ARGV[3]
local lease_s, horizon_s = tonumber(ARGV[6]), tonumber(ARGV[7])
local need = {requests = 1, input = tonumber(ARGV[4]), output = tonumber(ARGV[5])}
-- A user that does not come when its turn is due has lost it.
local GRACE_S, LOOK_AGAIN_S = 1, 0.25

local p = load()
if not p.at then
  -- Nobody has used this pool of late, or the server has forgotten it: half of the
  -- smallest bucket is believed to be there, and what time brings from now on.
  p = {at = now, left = 0, last_at = 0, turn = 0, probe = '', opens = 1, ramp = 0}
  p.most, p.most_at_first, p.cool_until = tonumber(ARGV[8]), tonumber(ARGV[8]), 0
  p.paused_until, p.limited_since, p.limited_at, p.crowded_since = 0, 0, 0, 0
  p.cautious, p.second_at, p.second_left, p.second_before = tonumber(ARGV[9]), now, 0, 0
  p.before_per_s = 0
  for i, kind in ipairs(KINDS) do
    local rate = tonumber(ARGV[9 + i])
    p['rate_' .. kind] = rate
    p['level_' .. kind] = kind == 'requests' and 1 or (rate or 0) / 120
  end
  grow(p, FIRST_PER_S, 1)
end
refill(p)

for _, dead in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', exact(now))) do
  redis.call('ZREM', LEASES, dead)
  redis.call('HDEL', BOOKED, dead)
end

local function delayed(seconds, reason)
  save(p)
  return state(p, {'wait', exact(seconds), reason})
end

-- Asked again after a lost answer: it counts once.
if redis.call('HEXISTS', BOOKED, booking) == 1 then
  return state(p, {'go', '0', ''})
end
if p.paused_until > now then
  return delayed(p.paused_until - now, 'rate limited')
end
local probing = p.limited_since > 0
if probing and p.probe ~= '' and redis.call('ZSCORE', LEASES, p.probe) then
  return delayed(LOOK_AGAIN_S, 'rate limited')
end
if redis.call('ZCARD', LEASES) >= math.floor(p.most) then
  return delayed(LOOK_AGAIN_S, 'requests in flight')
end
if p.cautious == 1 and p.last_at + UNKNOWN_LIMITS_GAP_S > now then
  return delayed(p.last_at + UNKNOWN_LIMITS_GAP_S - now, 'first answer')
end

-- First come, first served, over all hosts: what those before this one need comes first.
local ahead = {requests = 0, input = 0, output = 0}
for _, other in ipairs(redis.call('ZRANGE', LINE, 0, -1)) do
  if other == user then
    break
  end
  local due, input, output = string.match(
    redis.call('HGET', NEEDS, other) or '0 0 0', '(%S+) (%S+) (%S+)')
  if tonumber(due) + GRACE_S < now then
    redis.call('ZREM', LINE, other)
    redis.call('HDEL', NEEDS, other)
  else
    ahead.requests = ahead.requests + 1
    ahead.input = ahead.input + tonumber(input)
    ahead.output = ahead.output + tonumber(output)
  end
end

local longest, reason = 0, ''
-- The first one of an account that was idle finds full buckets: what it takes is a debt.
if p.left > 0 or ahead.requests > 0 then
  for _, kind in ipairs(KINDS) do
    local rate = p['rate_' .. kind]
    if rate then
      -- What is larger than the bucket leaves when that is full, and leaves a debt.
      local least = math.min(need[kind], capacity(kind, rate))
      local seconds = (least + ahead[kind] - p['level_' .. kind]) * 60 / rate
      if seconds > longest then
        local words = {requests = 'requests', input = 'input tokens', output = 'output tokens'}
        longest, reason = seconds, words[kind] .. ' per minute'
      end
    end
  end
end
local allowed = p.grow_first * 2 ^ (math.min(now - p.grow_at, 60) / DOUBLING_S)
local used = math.max(p.grow_used, allowed - p.grow_at_once)
if allowed * math.log(2) / DOUBLING_S * 0.001 <= 1 then
  local seconds = p.grow_at + DOUBLING_S * math.log((used + 1) / p.grow_first) / math.log(2) - now
  if seconds > longest then
    longest, reason = seconds, 'gentle start'
  end
end

if longest > horizon_s then
  if not redis.call('ZSCORE', LINE, user) then
    p.turn = p.turn + 1
    redis.call('ZADD', LINE, exact(p.turn), user)
  end
  redis.call('HSET', NEEDS, user,
    exact(now + longest) .. ' ' .. exact(need.input) .. ' ' .. exact(need.output))
  return delayed(longest, reason)
end

redis.call('ZREM', LINE, user)
redis.call('HDEL', NEEDS, user)
for _, kind in ipairs(KINDS) do
  if p['rate_' .. kind] then
    p['level_' .. kind] = p['level_' .. kind] - need[kind]
  end
end
p.left, p.last_at, p.grow_used = p.left + 1, now + longest, used + 1
if now - p.second_at > 1 then
  p.second_before = now - p.second_at > 2 and 0 or p.second_left
  p.second_at, p.second_left = now, 0
end
p.second_left = p.second_left + 1
if probing then
  p.probe = booking
end
redis.call('HSET', BOOKED, booking,
  exact(need.input) .. ' ' .. exact(need.output) .. ' ' .. exact(now + longest))
redis.call('ZADD', LEASES, exact(now + lease_s), booking)
save(p)
return state(p, {'go', exact(longest), ''})
