-- The arithmetic of a bucket (`gateway/domain/bucket.py`), for scripts that stand behind it.
--
-- Lua counts in doubles, which are exact for whole numbers below 2^53. So nothing here ever becomes larger, and nothing
-- is rounded: a debt is whole microseconds and a rest, in parts of 1/limit of one. Redis tells the time in
-- microseconds; 2^53 of them last until 2255.
--
--   a rate    "<paid at: us> <rest> <limit> <window us> <burst>"   gone seconds after the bucket is full again
--   a quota   "<start of the period: s> <count> <h, d or m>"        gone an hour after the period
--   requests in flight: a sorted set, a member per request, by when it is given up (us)

local floor, format, match = math.floor, string.format, string.match

local SECOND = 1000000
local LONGER = 5 -- (s) a full bucket is kept: a clock that steps back, as after a failover, finds the debt again
local MUCH_LONGER = 3600 -- (s) the count of a period that has ended is, for the same reason

local function clock(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * SECOND + tonumber(time[2])
end

-- Return a * b / c rounded down, and what is left over. For a < 2^53, b < 2^48, c <= 2^40, a result below 2^53.
local function divide(a, b, c)
  local whole = floor(a / c)
  a = a - whole * c
  local result, rest = 0, 0
  for place = 36, 0, -12 do
    local digit = floor(b / 2 ^ place) % 4096
    rest = rest * 4096 + a * digit
    local part = floor(rest / c)
    result, rest = result * 4096 + part, rest - part * c
  end
  return whole * b + result, rest
end

-- Add two times of whole microseconds and parts of 1/limit.
local function add(us, rest, more_us, more_rest, limit)
  us, rest = us + more_us, rest + more_rest
  if rest >= limit then
    return us + 1, rest - limit
  end
  return us, rest
end

-- Subtract, down to nothing.
local function less(us, rest, from_us, from_rest, limit)
  us, rest = us - from_us, rest - from_rest
  if rest < 0 then
    us, rest = us - 1, rest + limit
  end
  if us < 0 then
    return 0, 0
  end
  return us, rest
end

local function exceeds(us, rest, most_us, most_rest)
  return us > most_us or (us == most_us and rest > most_rest)
end

---- rates: told by `<limit> <window us> <burst>`, the limit, the time of one request and the longest debt (us and rest)

local RATE = 6 -- arguments

-- Return how many whole requests a time is worth, and what is left, in parts of 1/window of one.
local function requests_of(us, rest, limit, window)
  local count, left = divide(us, limit, window)
  left = left + rest
  local more = floor(left / window)
  return count + more, left - more * window
end

local function numbers_of(text)
  local limit, window, burst = match(text, '^(%d+) (%d+) (%d+)$')
  return tonumber(limit), tonumber(window), tonumber(burst)
end

-- Return the debt under a rule of a bucket that followed another one: what was left stays, up to the new burst.
local function adopted(us, rest, old, new)
  local limit, window, burst = numbers_of(old)
  local new_limit, new_window, new_burst = numbers_of(new)
  local owed, part = requests_of(us, rest, limit, window)
  local left = burst - owed
  if part > 0 then
    left, part = left - 1, window - part
  end
  if left < 0 then
    left, part = 0, 0
  end
  part = floor(part * (new_window / SECOND) / (window / SECOND))
  if left >= new_burst then
    return 0, 0
  end
  owed = new_burst - left
  if part > 0 then
    owed, part = owed - 1, new_window - part
  end
  us, rest = divide(new_window, owed, new_limit)
  rest = rest + part
  local more = floor(rest / new_limit)
  return us + more, rest - more * new_limit
end

-- Return the debt under the rule at ARGV[at], and whether it has to be written whatever comes of the request.
local function rate_debt(key, at, now)
  local value = redis.call('GET', key)
  if not value then
    return 0, 0, false
  end
  local most, most_rest, rule = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at]
  local paid_at, rest, text = match(value, '^(%d+) (%d+) (%d+ %d+ %d+)$')
  if not paid_at then
    return most, most_rest, true -- not ours: nothing is left
  end
  local us, is_changed = tonumber(paid_at) - now, false
  rest = tonumber(rest)
  if us < 0 then
    us, rest = 0, 0
  end
  if text ~= rule then
    us, rest = adopted(us, rest, text, rule)
    is_changed = true
  end
  if exceeds(us, rest, most, most_rest) then
    return most, most_rest, true -- the clock went back: never owe more
  end
  return us, rest, is_changed
end

local function save_rate(key, us, rest, rule, now)
  if us == 0 and rest == 0 then
    redis.call('DEL', key)
  else
    local value = format('%.0f %.0f %s', now + us, rest, rule)
    redis.call('SET', key, value, 'PX', floor(us / 1000) + LONGER * 1000)
  end
end

---- quotas: told by the limit and the period

local QUOTA = 2 -- arguments

-- Return the first day of the month around `day` (days since 1970), by the years of four centuries.
local function month_around(day)
  local era_day = (day + 719468) % 146097
  local year = floor((era_day - floor(era_day / 1460) + floor(era_day / 36524) - floor(era_day / 146096)) / 365)
  local year_day = era_day - (365 * year + floor(year / 4) - floor(year / 100)) -- from the first of March on
  local month = floor((5 * year_day + 2) / 153)
  return day - (year_day - floor((153 * month + 2) / 5))
end

-- Return the first second of the period around `second`, and the first one after it.
local function bounds(period, second)
  if period == 'm' then
    local first = month_around(floor(second / 86400))
    return first * 86400, month_around(first + 31) * 86400
  end
  local length = period == 'h' and 3600 or 86400
  local first = second - second % length
  return first, first + length
end

-- Return the count of the period around now, and its bounds.
local function quota_count(key, period, now)
  local second = floor(now / SECOND)
  local value = redis.call('GET', key)
  local first, count, of
  if value then
    first, count, of = match(value, '^(%d+) (%d+) (%a)$')
  end
  if not first then
    local start, stop = bounds(period, second)
    return 0, start, stop
  end
  count = tonumber(count)
  local start, stop = bounds(of, tonumber(first))
  if second >= stop then
    count = 0
    start, stop = bounds(period, second)
  elseif of ~= period or start * SECOND - now >= (stop - start) * SECOND then
    start, stop = bounds(period, second) -- a clock that was wrong by more than a period is followed
  end
  return count, start, stop
end

local function save_quota(key, count, period, start, stop, now)
  local value = format('%.0f %.0f %s', start, count, period)
  redis.call('SET', key, value, 'PX', (stop + MUCH_LONGER) * 1000 - floor(now / 1000))
end
