-- Draw one request from every bucket, or from none.
--
-- KEYS: the buckets. ARGV: the time ('' for Redis' own), the name of the request, how long (ms) it is held for alive
-- without a sign, then the rule of each bucket: 'r' and the numbers of a rate, 'q' limit period, 'c' limit.
-- Returns 1 or 0, the time, and two numbers for each bucket: after the draw, or as they stand if any refuses. Of a
-- rate, debt and rest; of a quota, count and end of the period (s); of requests in flight, their number and 0.

local now, request, patience = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local found, at, is_refused = {}, 4, false

local function look_at_rate(key)
  local rule = rate_rule(at)
  at = at + 8
  local us, rest, is_changed = rate_debt(key, rule, now)
  local after, after_rest = add(us, rest, rule.cost, rule.cost_rest, rule.limit)
  return {
    before = us, before_more = rest, after = after, after_more = after_rest,
    is_full = exceeds(after, after_rest, rule.most, rule.most_rest), is_changed = is_changed,
    save = function(debt, more) save_rate(key, debt, more, rule, now) end,
  }
end

local function look_at_quota(key)
  local limit, period = tonumber(ARGV[at]), ARGV[at + 1]
  at = at + 2
  local count, start, stop = quota_count(key, period, now)
  return {
    before = count, before_more = stop, after = count + 1, after_more = stop, is_full = count >= limit,
    save = function(level) save_quota(key, level, period, start, stop, now) end,
  }
end

local function look_at_requests(key)
  local limit = tonumber(ARGV[at])
  at = at + 1
  redis.call('ZREMRANGEBYSCORE', key, '-inf', format('%.0f', now))
  local count = redis.call('ZCARD', key)
  return {
    before = count, before_more = 0, after = count + 1, after_more = 0, is_full = count >= limit,
    save = function()
      redis.call('ZADD', key, format('%.0f', now + patience * 1000), request)
      redis.call('PEXPIRE', key, format('%.0f', patience))
    end,
  }
end

local look_at = { r = look_at_rate, q = look_at_quota, c = look_at_requests }

for n, key in ipairs(KEYS) do
  local look = look_at[ARGV[at]]
  at = at + 1
  found[n] = look(key)
  is_refused = is_refused or found[n].is_full
end

local reply = { is_refused and 0 or 1, now }
for n = 1, #KEYS do
  local bucket = found[n]
  if not is_refused then
    bucket.save(bucket.after, bucket.after_more)
    reply[2 * n + 1], reply[2 * n + 2] = bucket.after, bucket.after_more
  else
    if bucket.is_changed then
      bucket.save(bucket.before, bucket.before_more)
    end
    reply[2 * n + 1], reply[2 * n + 2] = bucket.before, bucket.before_more
  end
end
return reply
