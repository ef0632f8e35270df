-- Draw one request from every bucket, or from none.
--
-- KEYS: the buckets. ARGV: the time ('' for Redis' own), the name of the request, how long (ms) it is held for alive
-- without a sign, then the rule of each bucket behind its kind: 'r' for a rate, 'q' for a quota, 'c' and the limit for
-- requests in flight.
-- Returns 1 or 0, the time, and two numbers for each bucket: after the draw, or as they stand if any refuses. Of a
-- rate, debt and rest; of a quota, count and end of the period (s); of requests in flight, their number and 0.

local now, patience = clock(ARGV[1]), tonumber(ARGV[3])

-- By bucket: where its rule stands, how it stands, and what only one kind needs.
local rules, levels, mores, others = {}, {}, {}, {}
local at, is_refused = 4, false

for n, key in ipairs(KEYS) do
  local kind = ARGV[at]
  at = at + 1
  rules[n] = at
  if kind == 'r' then
    local us, rest, is_changed = rate_debt(key, at, now)
    levels[n], mores[n], others[n] = us, rest, is_changed
    us, rest = add(us, rest, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 1]))
    is_refused = is_refused or exceeds(us, rest, tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]))
    at = at + RATE
  elseif kind == 'q' then
    levels[n], others[n], mores[n] = quota_count(key, ARGV[at + 1], now)
    is_refused = is_refused or levels[n] >= tonumber(ARGV[at])
    at = at + QUOTA
  else
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    levels[n], mores[n] = redis.call('ZCARD', key), 0
    is_refused = is_refused or levels[n] >= tonumber(ARGV[at])
    at = at + 1
  end
end

local reply = { is_refused and 0 or 1, now }
for n, key in ipairs(KEYS) do
  local rule, level, more = rules[n], levels[n], mores[n]
  local kind = ARGV[rule - 1]
  if is_refused then
    if kind == 'r' and others[n] then
      save_rate(key, level, more, ARGV[rule], now)
    end
  elseif kind == 'r' then
    local limit = tonumber(ARGV[rule + 1])
    level, more = add(level, more, tonumber(ARGV[rule + 2]), tonumber(ARGV[rule + 3]), limit)
    save_rate(key, level, more, ARGV[rule], now)
  elseif kind == 'q' then
    level = level + 1
    save_quota(key, level, ARGV[rule + 1], others[n], more, now)
  else
    level = level + 1
    redis.call('ZADD', key, now + patience * 1000, ARGV[2])
    redis.call('PEXPIRE', key, patience)
  end
  reply[2 * n + 1], reply[2 * n + 2] = level, more
end
return reply
