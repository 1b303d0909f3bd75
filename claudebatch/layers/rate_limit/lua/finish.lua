-- Ends attempts, each once: gives back what they did not take, and learns from their
-- answers. ARGV: 2 our share of a limit, 3 to 5 chosen limits that none may pass (or
-- empty); then of each attempt 1 how (settle, cancel, refuse, restart), 2 booking, 3 and 4
-- tokens that counted (empty: as booked), 5 to 10 limit and tokens left of requests, input
-- and output (empty: not stated); of a 429: 11 seconds, 12 its kind, 13 bare.
local share = tonumber(ARGV[2])
local p = load()
if not p.at then
  -- Forgotten meanwhile: there is nothing to give back, and the next one begins anew.
  return {}
end
refill(p)

local function restart()
  for _, kind in ipairs(KINDS) do
    p['level_' .. kind] = math.min(p['level_' .. kind], 0)
  end
  grow(p, FIRST_PER_S, 1)
end

local function give_back(booking, counted)
  -- When it left, and how many were in flight with it.
  local in_flight = redis.call('ZCARD', LEASES)
  local booked = redis.call('HGET', BOOKED, booking)
  if p.probe == booking then
    p.probe = ''
  end
  if not booked then
    return nil, in_flight
  end
  local input, output, at = string.match(booked, '(%S+) (%S+) (%S+)')
  for kind, expected in pairs({input = tonumber(input), output = tonumber(output)}) do
    local rate = p['rate_' .. kind]
    if rate and counted[kind] then
      local level = p['level_' .. kind] + expected - counted[kind]
      p['level_' .. kind] = math.min(capacity(kind, rate), level)
    end
  end
  let_go(booking)
  return tonumber(at), in_flight
end

local function answered(how, departed, in_flight)
  p.crowded_since = 0
  if p.limited_since > 0 and (departed or 0) >= p.limited_at then
    -- Let in again: what waited for that goes on, not all at once.
    p.limited_since = 0
    grow(p, math.max(FIRST_PER_S, p.ramp == 1 and 0 or p.before_per_s / 2), 1)
    p.ramp = 0
  end
  if p.cautious == 1 then
    p.cautious = 0
    grow(p, FIRST_PER_S, 1)
  end
  if how == 'settle' then
    if departed then
      p.held_s = (p.held_s or 0) + (now - departed - (p.held_s or 0)) / (p.held_s and 16 or 1)
    end
    if p.most < p.most_at_first and now >= p.cool_until and in_flight >= USED_SHARE * p.most then
      p.most = math.min(p.most_at_first, p.most + 1 / p.most)
    end
  end
end

local function learn(stated)
  local told = false
  for i, kind in ipairs(KINDS) do
    local limit, remaining = tonumber(stated[2 * i - 1]), tonumber(stated[2 * i])
    local chosen = tonumber(ARGV[2 + i])
    told = told or stated[2 * i] ~= ''
    if p['rate_' .. kind] and limit and limit > 0 then
      p['rate_' .. kind] = math.min(limit * share, chosen or limit * share)
      -- A bucket that is nearly empty is believed: others use it, too. Full ones are
      -- not: what they say is older than this answer.
      if remaining and (p.opens == 1 or remaining < limit / 60) then
        p['level_' .. kind] = math.min(p['level_' .. kind], remaining)
      end
    end
  end
  if told and p.opens == 1 then
    grow(p, math.max(FIRST_PER_S, 2 * speed(p)), FIRST_AT_ONCE)
    p.opens = 0
  end
end

local function crowded(in_flight)
  if p.crowded_since == 0 then
    p.crowded_since = now
  end
  if now < p.cool_until then
    p.most = math.max(1, math.min(p.most, in_flight - 1))
  else
    p.most = math.max(1, math.floor(math.min(p.most, in_flight) * USED_SHARE))
    p.cool_until = now + OLD_ANSWERS_S
  end
end

local function limited(seconds, kind, bare)
  if not bare and p.limited_since > 0 then
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

for i = 6, #ARGV, 13 do
  local how, booking, input, output = unpack(ARGV, i, i + 3)
  local stated = {unpack(ARGV, i + 4, i + 9)}
  if how == 'restart' then
    restart()
  else
    local counted = {input = tonumber(input), output = tonumber(output)}
    local departed, in_flight = give_back(booking, counted)
    if how == 'settle' or (how == 'cancel' and table.concat(stated) ~= '') then
      answered(how, departed, in_flight)
    end
    learn(stated)
    local seconds, kind, bare = tonumber(ARGV[i + 10]), ARGV[i + 11], ARGV[i + 12] ~= '0'
    if how == 'refuse' and departed then
      if kind == 'concurrency' then
        crowded(in_flight)
      else
        limited(seconds, kind, bare)
      end
    end
  end
end
save(p)
return state(p, {})
