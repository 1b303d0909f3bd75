-- A session ends. ARGV: 2 epoch, 3 run, 4 seconds for which what it leaves is held, 5
-- whether all that it spent is known, then its holds that are still out.
local run = ARGV[3]
if not known(ARGV[2]) then
  return {'forgotten'}
end
local out = {}
for i = 6, #ARGV do
  out[ARGV[i]] = true
end
local left = false
for _, each in ipairs(holds_of(run)) do
  if ARGV[5] == '1' and not out[each[1]] then
    drop(each[1])
  else
    left = true
  end
end
if left then
  heard(run, tonumber(ARGV[4]))
else
  redis.call('ZREM', HEARD, run)
end
return {'left'}
