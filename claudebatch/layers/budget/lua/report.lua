-- Tells what a machine knows: at the beginning of a run, and when the server has
-- forgotten. ARGV: 2 epoch if there is none, 3 run, 4 lease, 5 seconds that others have
-- to report then, 6 whether the run begins, 7 how many sums; each of them run, day, tag,
-- amount, and whether it is exact; then this run's holds: id, worst, day, tag, lasts.
local run = ARGV[3]
if not known(redis.call('HGET', EPOCH, 'id') or '') then
  redis.call('HSET', EPOCH, 'id', ARGV[2], 'until', exact(now + tonumber(ARGV[5])),
    'server', served_by())
end
-- What was lost counts as spent by a guess; now its run is told exactly, and what is out.
local all = redis.call('HGETALL', LOST)
for i = 1, #all, 2 do
  local charged, day, _, owner, tag = string.match(all[i + 1], '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
  if owner == run then
    redis.call('HDEL', LOST, all[i])
    spend(owner, day, tag, negated(charged))
  end
end
if ARGV[6] == '1' then
  -- What its last session left: its journal has said what became of it. What is with
  -- the API for hours stays, under a name that no attempt has, until it is adopted.
  for _, each in ipairs(holds_of(run)) do
    local worst, day, _, tag = drop(each[1])
    if each[2] == '1' then
      take('?' .. each[1], run, day, tag, worst, '1')
    end
  end
end
local at = 8
for _ = 1, tonumber(ARGV[7]) do
  local whose, day, tag, amount, is_exact = unpack(ARGV, at, at + 4)
  local before = redis.call('HGET', RUNS, whose .. ' ' .. day) or '0'
  -- Never below what somebody knows.
  if is_exact == '1' or less({before}, {amount}) then
    spend(whose, day, tag, negated(before))
    spend(whose, day, tag, amount)
  end
  at = at + 5
end
if ARGV[6] ~= '1' then
  local told = {}
  for i = at, #ARGV, 5 do
    told[ARGV[i]] = true
  end
  for _, each in ipairs(holds_of(run)) do
    -- Its end is what the server has forgotten; but what is adopted later stays.
    if not told[each[1]] and string.sub(each[1], 1, 1) ~= '?' then
      drop(each[1])
    end
  end
end
while at <= #ARGV do
  local id, worst, day, tag, lasts = unpack(ARGV, at, at + 4)
  if redis.call('HEXISTS', HOLDS, id) == 0 then
    take(id, run, day, tag, worst, lasts)
  end
  at = at + 5
end
heard(run, tonumber(ARGV[4]))
return {redis.call('HGET', EPOCH, 'id')}
