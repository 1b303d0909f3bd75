-- Ends an attempt, once: gives back what it did not take, and learns from its answer.
-- ARGV: 2 how (settle, cancel, refuse, restart), 3 booking, 4 and 5 tokens that counted
-- (empty: as booked); 6 to 11 limit and tokens left of requests, input and output (empty:
-- not stated), 12 our share of a limit, 13 to 15 chosen limits that none may pass (or
-- empty); of a 429: 16 seconds, 17 its kind, 18 bare.
local how, booking = ARGV[2], ARGV[3]
local p = load()
if not p.at then
  -- Forgotten meanwhile: there is nothing to give back, and the next one begins anew.
  return {}
end
refill(p)

if how == 'restart' then
  for _, kind in ipairs(KINDS) do
    p['level_' .. kind] = math.min(p['level_' .. kind], 0)
  end
  grow(p, FIRST_PER_S, 1)
  save(p)
  return state(p, {})
end

local in_flight = redis.call('ZCARD', LEASES)
local booked = redis.call('HGET', BOOKED, booking)
local departed = 0
if booked then
  local input, output, at = string.match(booked, '(%S+) (%S+) (%S+)')
  departed = tonumber(at)
  for i, kind in ipairs({'input', 'output'}) do
    local counted, expected = tonumber(ARGV[3 + i]), tonumber(i == 1 and input or output)
    local rate = p['rate_' .. kind]
    if rate and counted then
      local level = p['level_' .. kind] + expected - counted
      p['level_' .. kind] = math.min(capacity(kind, rate), level)
    end
  end
  redis.call('HDEL', BOOKED, booking)
  redis.call('ZREM', LEASES, booking)
end
if p.probe == booking then
  p.probe = ''
end

local stated = false
for i = 6, 11 do
  stated = stated or ARGV[i] ~= ''
end
if how == 'settle' or (how == 'cancel' and stated) then
  p.crowded_since = 0
  if p.limited_since > 0 and departed >= p.limited_at then
    -- Let in again: what waited for that goes on, not all at once.
    p.limited_since = 0
    grow(p, math.max(FIRST_PER_S, p.ramp == 1 and 0 or p.before_per_s / 2), 1)
    p.ramp = 0
  end
  if p.cautious == 1 then
    p.cautious = 0
    grow(p, FIRST_PER_S, 1)
  end
  if how == 'settle' and p.most < p.most_at_first and now >= p.cool_until
      and in_flight >= USED_SHARE * p.most then
    p.most = math.min(p.most_at_first, p.most + 1 / p.most)
  end
end

local told = ARGV[7] ~= '' or ARGV[9] ~= '' or ARGV[11] ~= ''
for i, kind in ipairs(KINDS) do
  local limit, remaining = tonumber(ARGV[4 + 2 * i]), tonumber(ARGV[5 + 2 * i])
  local share, chosen = tonumber(ARGV[12]), tonumber(ARGV[12 + i])
  if p['rate_' .. kind] and limit and limit > 0 then
    p['rate_' .. kind] = math.min(limit * share, chosen or limit * share)
    -- A bucket that is nearly empty is believed: others use it, too. Full ones are not:
    -- what they say is older than this answer.
    if remaining and (p.opens == 1 or remaining < limit / 60) then
      p['level_' .. kind] = math.min(p['level_' .. kind], remaining)
    end
  end
end
if told and p.opens == 1 then
  grow(p, math.max(FIRST_PER_S, 2 * speed(p)), FIRST_AT_ONCE)
  p.opens = 0
end

if how == 'refuse' and booked then
  local seconds, kind = tonumber(ARGV[16]), ARGV[17]
  if kind == 'concurrency' then
    if p.crowded_since == 0 then
      p.crowded_since = now
    end
    if now < p.cool_until then
      p.most = math.max(1, math.min(p.most, in_flight - 1))
    else
      p.most = math.max(1, math.floor(math.min(p.most, in_flight) * USED_SHARE))
      p.cool_until = now + OLD_ANSWERS_S
    end
  else
    if ARGV[18] == '0' and p.limited_since > 0 then
      -- Probes keep a bucket empty that others use as well.
      seconds = math.max(seconds, PROBE_GAP_S)
    end
    if p.limited_since == 0 then
      p.before_per_s = speed(p)
      p.limited_since = now
    end
    p.ramp = kind == 'ramp' and 1 or p.ramp
    p.limited_at, p.opens = now, 0
    p.paused_until = math.max(p.paused_until, now + seconds)
    for _, each in ipairs(KINDS) do
      p['level_' .. each] = math.min(p['level_' .. each], 0)
    end
  end
end
save(p)
return state(p, {})
