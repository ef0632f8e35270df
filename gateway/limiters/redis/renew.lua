-- Say of requests in flight that they still are, also of those that were given up meanwhile.
--
-- KEYS: the bucket. ARGV: the time ('' for Redis' own), how long (ms) they are held for alive from now, their names.
-- Returns their number.

local expires = format('%.0f', clock(ARGV[1]) + tonumber(ARGV[2]) * 1000)
for n = 3, #ARGV do
  redis.call('ZADD', KEYS[1], expires, ARGV[n])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return #ARGV - 2
