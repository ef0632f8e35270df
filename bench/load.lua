-- Rotates over the requests of a file and reports one line of numbers at the end.
-- Each line of the file: path, a tab, token.

local requests = {}
local turn = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, token = line:match("^(.-)\t(.*)$")
    requests[#requests + 1] = wrk.format("GET", path, {
      ["Host"] = wrk.headers["Host"],
      ["Authorization"] = "Bearer " .. token,
      ["Accept"] = "application/json",
      ["User-Agent"] = "tollhouse-bench",
    })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local e = summary.errors
  print(string.format("measured %d %d %d %d %d %d",
    summary.duration, summary.requests, e.status,
    e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
