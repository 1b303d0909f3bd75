-- What all scripts know of a pool: its state, and how its buckets fill.
-- KEYS: state, bookings, their leases, users in line, what those need, how much each
-- user has in flight; the names of all pools. ARGV[1]: seconds of a test's clock; empty:
-- this server's own, the same one for all hosts.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local STATE, BOOKED, LEASES, LINE, NEEDS, USERS, POOLS = unpack(KEYS)
local KINDS = {'requests', 'input', 'output'}
-- A pool that nobody uses is forgotten after a day; its buckets are full long before.
local KEPT_S = 86400
-- A user that does not come when its turn is due has lost it.
local GRACE_S = 1
-- FIRST_PER_S and the like are the numbers of one process's pools: constants/ says why.

local function exact(number)
  -- Redis itself would write 14 digits, and microseconds since 1970 have 16.
  return string.format('%.17g', number)
end

local function grow(p, per_s, at_once)
  local before = 1 / (2 ^ (1 / (per_s * DOUBLING_S)) - 1) - 1
  p.grow_at, p.grow_first, p.grow_used = now, before + at_once, before
  p.grow_at_once = at_once
end

local function load()
  local flat = redis.call('HGETALL', STATE)
  local p = {}
  for i = 1, #flat, 2 do
    p[flat[i]] = tonumber(flat[i + 1]) or flat[i + 1]
  end
  return p
end

local function save(p)
  local flat = {}
  for name, value in pairs(p) do
    flat[#flat + 1] = name
    flat[#flat + 1] = type(value) == 'number' and exact(value) or value
  end
  redis.call('HSET', STATE, unpack(flat))
  for _, key in ipairs(KEYS) do
    redis.call('EXPIRE', key, KEPT_S)
  end
end

local function in_flight_of(user)
  return tonumber(redis.call('HGET', USERS, user) or '0')
end

local function let_go(booking)
  -- Its place is free: a booking is called after its user, and a number.
  local user = string.match(booking, '^(.*)%.')
  redis.call('HDEL', BOOKED, booking)
  if redis.call('ZREM', LEASES, booking) == 1 and user
      and redis.call('HINCRBY', USERS, user, -1) <= 0 then
    redis.call('HDEL', USERS, user)
  end
end

local function capacity(kind, per_minute)
  local per_s = per_minute / 60
  if kind == 'requests' then
    return math.max(1, per_s * SAVED_S)
  end
  return per_s
end

local function refill(p)
  -- A clock that goes back, as after a failover, takes nothing away.
  local passed = math.max(0, now - p.at)
  for _, kind in ipairs(KINDS) do
    local rate = p['rate_' .. kind]
    if rate then
      local level = p['level_' .. kind] + passed * rate / 60
      p['level_' .. kind] = math.min(capacity(kind, rate), level)
    end
  end
  p.at = math.max(p.at, now)
end

local function speed(p)
  -- Departures of the last whole second, or of this one if those are more.
  if now - p.second_at > 2 then
    return 0
  end
  return math.max(p.second_left, now - p.second_at > 1 and 0 or p.second_before)
end

local function state(p, answer)
  for _, kind in ipairs(KINDS) do
    local rate = p['rate_' .. kind]
    answer[#answer + 1] = rate and exact(rate) or ''
  end
  answer[#answer + 1] = exact(math.floor(p.most))
  local since = 0
  if p.limited_since > 0 then
    since = now - p.limited_since
  end
  if p.crowded_since > 0 then
    since = math.max(since, now - p.crowded_since)
  end
  answer[#answer + 1] = exact(since)
  return answer
end
