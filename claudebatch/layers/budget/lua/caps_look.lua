-- All that is known of money, for people; changes nothing. ARGV: 2 where the list of runs
-- goes on (0: at its beginning), 3 the day whose runs are wanted.
-- Answers now, where that list goes on (0: it is over), its runs and amounts; and at its
-- beginning the windows spent and held, holds, lost ones, runs heard of, the epoch.
local page = redis.call('HSCAN', RUNS, ARGV[2], 'MATCH', '* ' .. ARGV[3], 'COUNT', 1000)
local found = {exact(now), page[1], page[2]}
if ARGV[2] == '0' then
  for _, hash in ipairs({GONE, HELD, HOLDS, LOST}) do
    found[#found + 1] = redis.call('HGETALL', hash)
  end
  found[#found + 1] = redis.call('ZRANGE', HEARD, 0, -1, 'WITHSCORES')
  found[#found + 1] = redis.call('HGETALL', EPOCH)
end
return found
