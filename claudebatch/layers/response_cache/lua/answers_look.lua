-- Counts answers, their bytes, and claims that still stand. KEYS: as in answers.lua.
local now = tonumber(ARGV[1])
if not now then
  now = tonumber(redis.call('TIME')[1])
end
local claims = 0
local all = redis.call('HGETALL', KEYS[3])
for i = 2, #all, 2 do
  if tonumber(string.match(all[i], '%S+$')) > now then
    claims = claims + 1
  end
end
return {redis.call('ZCARD', KEYS[1]), tonumber(redis.call('HGET', KEYS[2], 'total') or '0'), claims}
