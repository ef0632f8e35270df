-- Move the level of one bucket by several requests: take them in advance, give them back, charge what was let in.
--
-- KEYS: the bucket. ARGV: the time ('' for Redis' own), what to do, how many, since when (us), then the rule.
--   'take'    at most so many, and at most an eighth of what is left: who comes later finds something, too
--   'give'    back what was taken at that time and is not used; what time has paid of it since is not given again
--   'charge'  what was let in without asking at that time; a rate ends at an empty bucket, a quota may be above its limit
-- Returns how many were moved, the time, and two numbers as `acquire.lua` does.

local now, act, count, since = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key, kind = KEYS[1], ARGV[5]

local function move_rate(at)
  local rule = ARGV[at]
  local limit, window = numbers_of(rule)
  local most, most_rest = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local us, rest, is_changed = rate_debt(key, at, now)
  if act == 'take' then
    local left_us, left_rest = less(most, most_rest, us, rest, limit)
    local left = requests_of(left_us, left_rest, limit, window)
    count = math.min(count, floor(left / 8))
  end
  local paid, paid_rest = divide(window, count, limit)
  if act == 'give' then
    paid, paid_rest = less(paid, paid_rest, math.max(0, now - since), 0, limit)
    us, rest = less(us, rest, paid, paid_rest, limit)
  else
    us, rest = add(us, rest, paid, paid_rest, limit)
    if exceeds(us, rest, most, most_rest) then
      us, rest = most, most_rest
    end
  end
  if count > 0 or is_changed then
    save_rate(key, us, rest, rule, now)
  end
  return { count, now, us, rest }
end

local function move_quota(limit, period)
  local level, start, stop = quota_count(key, period, now)
  if act == 'take' then
    count = math.max(0, math.min(count, floor((limit - level) / 8)))
  elseif since < start * SECOND or since >= stop * SECOND then
    count = 0 -- of another period
  elseif act == 'give' then
    count = math.min(count, level)
  end
  level = act == 'give' and level - count or level + count
  if count > 0 then
    save_quota(key, level, period, start, stop, now)
  end
  return { count, now, level, stop }
end

if kind == 'r' then
  return move_rate(6)
end
return move_quota(tonumber(ARGV[6]), ARGV[7])
