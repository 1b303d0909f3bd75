-- Ends what a run that is known to be dead has set aside. ARGV: 2 run, 3 free (nothing of
-- it was billed) or not, 4 for how long a run that was heard of counts as alive.
-- Answers 'alive', or 'released' and the amounts of its holds, and of those that were
-- counted as spent before and are free now.
local run, free = ARGV[2], ARGV[3] == 'free'
local ends = tonumber(redis.call('ZSCORE', HEARD, run) or '0')
-- What ended in good order is heard of until much later.
if ends > now and ends <= now + tonumber(ARGV[4]) then
  return {'alive', {}, {}}
end
local released, given_back = {}, {}
for _, each in ipairs(holds_of(run)) do
  local text = redis.call('HGET', HOLDS, each[1])
  local worst, day, owner, tag = drop(each[1])
  released[#released + 1] = worst
  if not free then
    -- As when a process was silent for too long: its journal may still set it right.
    spend(owner, day, tag, worst)
    redis.call('HSET', LOST, each[1], text)
  end
end
if free then
  -- Only what nobody knows: costs that were told are never taken away.
  local all = redis.call('HGETALL', LOST)
  for i = 1, #all, 2 do
    local charged, day, _, owner, tag = string.match(all[i + 1], '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
    if owner == run then
      redis.call('HDEL', LOST, all[i])
      spend(owner, day, tag, negated(charged))
      given_back[#given_back + 1] = charged
    end
  end
end
redis.call('ZREM', HEARD, run)
return {'released', released, given_back}
