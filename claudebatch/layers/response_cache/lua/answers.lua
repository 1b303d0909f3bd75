-- Answers that all hosts share, and who asks for one. KEYS: age of each answer, their
-- sizes, claims. ARGV: 1 a clock of tests, else empty; 2 what is to be done; 3 how the
-- keys of answers begin; then what that needs.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local AGES, SIZES, CLAIMS = KEYS[1], KEYS[2], KEYS[3]
local job, place = ARGV[2], ARGV[3]
-- Its size among the sizes: no digest of a request is called so.
local TOTAL = 'total'

local function exact(number)
  return string.format('%.17g', number)
end

local function forget(key)
  local size = redis.call('HGET', SIZES, key)
  if size then
    redis.call('HDEL', SIZES, key)
    redis.call('ZREM', AGES, key)
    redis.call('HINCRBY', SIZES, TOTAL, '-' .. size)
  end
end

local function put(key, answer, ttl_s, most)
  forget(key)
  if #answer > most then
    redis.call('DEL', place .. key)
    return
  end
  if ttl_s == '' then
    redis.call('SET', place .. key, answer)
  else
    redis.call('SET', place .. key, answer, 'EX', ttl_s)
  end
  redis.call('HSET', SIZES, key, #answer)
  redis.call('ZADD', AGES, exact(now), key)
  -- What was stored first goes first; what has expired lies there, too.
  while tonumber(redis.call('HINCRBY', SIZES, TOTAL, 0)) + #answer > most do
    local oldest = redis.call('ZRANGE', AGES, 0, 0)[1]
    if not oldest or oldest == key then
      break
    end
    redis.call('DEL', place .. oldest)
    forget(oldest)
  end
  redis.call('HINCRBY', SIZES, TOTAL, #answer)
end

local function claim_of(key)
  -- Owner and end of a claim that still stands.
  local owner, ends = string.match(redis.call('HGET', CLAIMS, key) or '', '^(%S+) (%S+)$')
  if owner and tonumber(ends) > now then
    return owner
  end
end

if job == 'get' then
  local found = {}
  for i = 4, #ARGV do
    found[#found + 1] = redis.call('GET', place .. ARGV[i])
  end
  return found
end
if job == 'put' then
  for i = 6, #ARGV, 2 do
    put(ARGV[i], ARGV[i + 1], ARGV[4], tonumber(ARGV[5]))
  end
  return {'put'}
end
if job == 'claim' then
  -- ARGV: 4 token, 5 lease, 6 key.
  local key = ARGV[6]
  local answer = redis.call('GET', place .. key)
  if answer then
    return {'answer', answer}
  end
  local owner = claim_of(key)
  if owner and owner ~= ARGV[4] then
    return {'wait'}
  end
  redis.call('HSET', CLAIMS, key, ARGV[4] .. ' ' .. exact(now + tonumber(ARGV[5])))
  return {'yours'}
end
if job == 'renew' then
  -- ARGV: 4 lease, then token and key of each.
  for i = 5, #ARGV, 2 do
    if claim_of(ARGV[i + 1]) == ARGV[i] then
      redis.call('HSET', CLAIMS, ARGV[i + 1], ARGV[i] .. ' ' .. exact(now + tonumber(ARGV[4])))
    end
  end
  return {'renewed'}
end
-- release. ARGV: 4 token, 5 key, 6 lifetime, 7 most bytes, 8 the answer, or empty.
local token, key = ARGV[4], ARGV[5]
local owner = claim_of(key)
if owner == nil or owner == token then
  redis.call('HDEL', CLAIMS, key)
end
-- One whose claim has passed to somebody else comes late: the answer of that one counts.
if ARGV[8] ~= '' and (owner == nil or owner == token)
    and redis.call('EXISTS', place .. key) == 0 then
  put(key, ARGV[8], ARGV[6], tonumber(ARGV[7]))
end
return {'released'}
