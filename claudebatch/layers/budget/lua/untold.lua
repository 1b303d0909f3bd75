-- Compares sums of a machine's ledger with what is known here, and takes over what is
-- higher if it is told to. ARGV: 2 whether it is, 3 for how long a run that was heard of
-- counts as alive; then run, day, tag and amount of each.
-- Answers for each by how much it is higher. A run that is alive tells its own.
local take, lease_s = ARGV[2] == '1', tonumber(ARGV[3])
local found = {}
for i = 4, #ARGV, 4 do
  local run, day, tag, amount = unpack(ARGV, i, i + 3)
  local before = redis.call('HGET', RUNS, run .. ' ' .. day) or '0'
  local ends = tonumber(redis.call('ZSCORE', HEARD, run) or '0')
  local lacking = '0'
  if less({before}, {amount}) and not (ends > now and ends <= now + lease_s) then
    lacking = added(amount, negated(before))
    if take then
      spend(run, day, tag, lacking)
    end
  end
  found[#found + 1] = lacking
end
return found
