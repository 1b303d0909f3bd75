-- Sets money aside, if every cap has it: for some attempts in their order, until one has
-- to wait. ARGV: 2 epoch, 3 run, 4 lease, 5 tag, 6 how (adopt: they count whatever is
-- held; first: from now on nothing is adopted), 7 how many caps; window and limit of each;
-- then hold, worst case, day and lasts of each.
-- Answers how many are held; of the next one 'wait' (and seconds, where they are known),
-- or 'never' and the number of the cap that lacks it; and what each cap has spent.
local epoch, run, lease_s, tag = unpack(ARGV, 2, 5)
local how, first = ARGV[6], 8 + 2 * tonumber(ARGV[7])
if not known(epoch) then
  return {'forgotten'}
end
heard(run, tonumber(lease_s))
bury()

local function verdict_on(worst)
  local verdict = nil
  local open_in = tonumber(redis.call('HGET', EPOCH, 'until')) - now
  if open_in > 0 then
    -- Others may have to tell what they know, first: also that they live, and that what
    -- was taken for lost is not spent.
    return 'wait', exact(open_in)
  end
  for i = 8, first - 1, 2 do
    local gone = redis.call('HGET', GONE, ARGV[i]) or '0'
    local held = redis.call('HGET', HELD, ARGV[i]) or '0'
    if less({ARGV[i + 1]}, {gone, worst}) then
      return 'never', exact((i - 8) / 2)
    elseif less({ARGV[i + 1]}, {gone, held, worst}) then
      verdict = 'wait'
    end
  end
  return verdict, '0'
end

local function left_behind()
  -- What an earlier session of this run has left set aside.
  local found = {}
  for _, each in ipairs(holds_of(run)) do
    if string.sub(each[1], 1, 1) == '?' then
      found[#found + 1] = each[1]
    end
  end
  return found
end

local function adopt(worst, day)
  -- It is the same money, however many holds it was in.
  for _, id in ipairs(left_behind()) do
    local left, on, _, _, of = record(id)
    if on == day and worst ~= '0' then
      drop(id)
      if less({worst}, {left}) then
        take(id, run, day, of, added(left, negated(worst)), '1')
        return
      end
      worst = added(worst, negated(left))
    end
  end
end

if how == 'first' then
  -- What was collected meanwhile, or never made.
  for _, id in ipairs(left_behind()) do
    drop(id)
  end
end

local number, verdict, fact = 0, nil, '0'
for i = first, #ARGV, 4 do
  local id, worst, day, lasts = unpack(ARGV, i, i + 3)
  if redis.call('HEXISTS', HOLDS, id) == 0 then
    if how == 'adopt' then
      adopt(worst, day)
    else
      verdict, fact = verdict_on(worst)
      if verdict then
        break
      end
    end
    take(id, run, day, tag, worst, lasts)
  end
  number = number + 1
end
local answer = {exact(number), verdict or 'held', fact}
for i = 8, first - 1, 2 do
  answer[#answer + 1] = redis.call('HGET', GONE, ARGV[i]) or '0'
end
return answer
