-- What all scripts of the caps know. KEYS: spent and held by window; holds in flight,
-- and those of processes that died; when each run was last heard of; spent by run and
-- day; the epoch. Money is a decimal text of pico-dollars: numbers here have 53 bits,
-- nine thousand dollars. ARGV[1]: a clock of tests, else empty.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local GONE, HELD, HOLDS, LOST, HEARD, RUNS, EPOCH = unpack(KEYS)
local BASE = 1e12

local function exact(number)
  return string.format('%.17g', number)
end

local function parts(text)
  -- Dollars and the rest: each fits into a number.
  local negative = string.sub(text, 1, 1) == '-'
  local digits = negative and string.sub(text, 2) or text
  local high = tonumber(string.sub(digits, 1, -13)) or 0
  local low = tonumber(string.sub(digits, -12))
  if negative then
    return -high, -low
  end
  return high, low
end

local function less(left, right)
  -- Whether the sum of the texts in *left* is less than that in *right*.
  local high, low = 0, 0
  for sign, texts in pairs({[-1] = right, [1] = left}) do
    for _, text in ipairs(texts) do
      local dollars, rest = parts(text)
      high, low = high + sign * dollars, low + sign * rest
    end
  end
  local carry = math.floor(low / BASE)
  high, low = high + carry, low - carry * BASE
  return high < 0
end

local function negated(text)
  if text == '0' then
    return '0'
  end
  return string.sub(text, 1, 1) == '-' and string.sub(text, 2) or '-' .. text
end

local function added(left, right)
  -- The sum of two texts, which is not below zero.
  local high, low = parts(left)
  local more_high, more_low = parts(right)
  high, low = high + more_high, low + more_low
  local carry = math.floor(low / BASE)
  high, low = high + carry, low - carry * BASE
  return high == 0 and string.format('%.0f', low) or string.format('%.0f%012.0f', high, low)
end

local function move(hash, day, tag, amount)
  -- Exact: the server adds whole numbers of 64 bits.
  for _, window in ipairs({'total', string.sub(day, 1, 7), day}) do
    redis.call('HINCRBY', hash, window, amount)
    if tag ~= '' then
      redis.call('HINCRBY', hash, window .. ' ' .. tag, amount)
    end
  end
end

local function spend(run, day, tag, amount)
  move(GONE, day, tag, amount)
  redis.call('HINCRBY', RUNS, run .. ' ' .. day, amount)
end

local function record(id)
  -- worst, day, lasts, run, tag; a tag may hold spaces.
  local text = redis.call('HGET', HOLDS, id)
  if text then
    return string.match(text, '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
  end
end

local function drop(id)
  local worst, day, lasts, run, tag = record(id)
  if worst then
    redis.call('HDEL', HOLDS, id)
    move(HELD, day, tag, negated(worst))
  end
  return worst, day, run, tag
end

local function take(id, run, day, tag, worst, lasts)
  redis.call('HSET', HOLDS, id, worst .. ' ' .. day .. ' ' .. lasts .. ' ' .. run .. ' ' .. tag)
  move(HELD, day, tag, worst)
end

local function heard(run, lease_s)
  redis.call('ZADD', HEARD, exact(now + lease_s), run)
end

local function holds_of(run)
  local found = {}
  local all = redis.call('HGETALL', HOLDS)
  for i = 1, #all, 2 do
    local _, _, lasts, owner = string.match(all[i + 1], '^(%S+) (%S+) (%S+) (%S+)')
    if owner == run then
      found[#found + 1] = {all[i], lasts}
    end
  end
  return found
end

local function bury()
  -- Nobody knows what the attempts of a process that died cost: they may be billed. Of a
  -- server that was away itself nobody could be heard: those who live tell, first.
  if tonumber(redis.call('HGET', EPOCH, 'until')) > now then
    return
  end
  for _, run in ipairs(redis.call('ZRANGEBYSCORE', HEARD, '-inf', exact(now))) do
    for _, each in ipairs(holds_of(run)) do
      local text = redis.call('HGET', HOLDS, each[1])
      local worst, day, owner, tag = drop(each[1])
      spend(owner, day, tag, worst)
      redis.call('HSET', LOST, each[1], text)
    end
    redis.call('ZREM', HEARD, run)
  end
end

local function served_by()
  -- Another one after every restart and every failover: what a server wrote last, its
  -- disk or its replica may lack. A user without the right to ask cannot tell.
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
end

local function known(epoch)
  return epoch ~= '' and redis.call('HGET', EPOCH, 'id') == epoch
    and (redis.call('HGET', EPOCH, 'server') or '') == served_by()
end
