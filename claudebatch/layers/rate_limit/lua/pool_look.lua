-- A pool as it stands now, for people; changes nothing. Answers how much of each limit
-- there is and what it is (or two empty texts); seconds of its pause; most in flight; then
-- three lists: bookings, users in line, and in how many seconds the turn of each is.
local p = load()
if not p.at then
  return {}
end
refill(p)
local found = {}
for _, kind in ipairs(KINDS) do
  local rate = p['rate_' .. kind]
  found[#found + 1] = rate and exact(p['level_' .. kind]) or ''
  found[#found + 1] = rate and exact(rate) or ''
end
found[#found + 1] = exact(math.max(0, p.paused_until - now))
found[#found + 1] = exact(math.floor(p.most))
found[#found + 1] = redis.call('ZRANGEBYSCORE', LEASES, exact(now), '+inf')
local users, turns = {}, {}
for _, user in ipairs(redis.call('ZRANGE', LINE, 0, -1)) do
  local due = tonumber(string.match(redis.call('HGET', NEEDS, user) or '0', '%S+'))
  -- Who did not come when its turn was due has left the line.
  if due + GRACE_S >= now then
    users[#users + 1] = user
    turns[#turns + 1] = exact(math.max(0, due - now))
  end
end
found[#found + 1] = users
found[#found + 1] = turns
return found
