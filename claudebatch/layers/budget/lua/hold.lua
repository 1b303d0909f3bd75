-- Sets money aside, if every cap has it. ARGV: 2 epoch, 3 run, 4 lease, 5 hold, 6 worst
-- case, 7 day, 8 tag, 9 lasts, 10 whether it counts whatever is held; then window and
-- limit of each cap.
local epoch, run, lease_s, id, worst, day, tag = unpack(ARGV, 2, 8)
if not known(epoch) then
  return {'forgotten'}
end
heard(run, tonumber(lease_s))
bury()

local verdict, at = 'held', ''
local taken = redis.call('HEXISTS', HOLDS, id) == 1
if not taken and ARGV[10] ~= '1' and now < tonumber(redis.call('HGET', EPOCH, 'until')) then
  -- Others may have to tell what they know, first.
  verdict = 'wait'
end
local gone_by = {}
for i = 11, #ARGV, 2 do
  local gone = redis.call('HGET', GONE, ARGV[i]) or '0'
  local held = redis.call('HGET', HELD, ARGV[i]) or '0'
  gone_by[#gone_by + 1] = gone
  if not taken and ARGV[10] ~= '1' and verdict ~= 'never' then
    if less({ARGV[i + 1]}, {gone, worst}) then
      -- A cap that a server just begun knows too little of may still be short later.
      verdict, at = 'never', exact((i - 11) / 2)
    elseif less({ARGV[i + 1]}, {gone, held, worst}) then
      verdict = 'wait'
    end
  end
end
if verdict == 'held' and not taken then
  local found
  if ARGV[10] == '1' then
    -- What an earlier session of this run has left set aside is the same money.
    for _, each in ipairs(holds_of(run)) do
      local left, on = record(each[1])
      if each[2] == '1' and left == worst and on == day and string.sub(each[1], 1, 1) == '?' then
        found = each[1]
      end
    end
  end
  if found then
    drop(found)
  end
  take(id, run, day, tag, worst, ARGV[9])
end
return {verdict, at, unpack(gone_by)}
