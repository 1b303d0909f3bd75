-- Ends a hold, once; without one, says that its run is alive. ARGV: 2 epoch, 3 run, 4
-- lease, 5 hold or empty, 6 cost.
local epoch, run, lease_s, id, cost = unpack(ARGV, 2, 6)
if not known(epoch) then
  return {'forgotten'}
end
-- First: a server that is full lets go on what has made room.
local worst, day, owner, tag = drop(id)
if worst then
  spend(owner, day, tag, cost)
end
heard(run, tonumber(lease_s))
bury()
if worst then
  return {'ended'}
end
local lost = redis.call('HGET', LOST, id)
if lost then
  -- Its process was silent for too long, and lives: now it is known what it cost.
  local charged, on, _, by, of = string.match(lost, '^(%S+) (%S+) (%S+) (%S+) ?(.*)$')
  redis.call('HDEL', LOST, id)
  spend(by, on, of, negated(charged))
  spend(by, on, of, cost)
end
return {'ended'}
