-- Ends holds, each once, and says that their run is alive. ARGV: 2 epoch, 3 run, 4 lease;
-- then hold and cost of each.
local epoch, run, lease_s = unpack(ARGV, 2, 4)
if not known(epoch) then
  return {'forgotten'}
end
-- First: a server that is full lets go on what has made room.
local missing = {}
for i = 5, #ARGV, 2 do
  local worst, day, owner, tag = drop(ARGV[i])
  if worst then
    spend(owner, day, tag, ARGV[i + 1])
  else
    missing[#missing + 1] = i
  end
end
heard(run, tonumber(lease_s))
bury()
for _, i in ipairs(missing) do
  local lost = redis.call('HGET', LOST, ARGV[i])
  if lost then
    -- Its process was silent for too long, and lives: now it is known what it cost.
    local charged, on, _, by, of = string.match(lost, '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
    redis.call('HDEL', LOST, ARGV[i])
    spend(by, on, of, negated(charged))
    spend(by, on, of, ARGV[i + 1])
  end
end
return {'ended'}
