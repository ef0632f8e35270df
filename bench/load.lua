-- Rotates over the requests of a file and reports one line of numbers at the end.
-- Each line of the file: method, path, token (may be empty), bytes of the body; tabs between them.

local requests = {}
local turn = 0

-- The token stands in the middle: LuaJIT hashes a few bytes of a long string only, from its ends and its middle, and
-- ten thousand requests that differ elsewhere would all fall into one chain of its string table.
local function request_of(method, path, token, bytes)
  local parts = { method, " ", path, " HTTP/1.1\r\nHost: ", wrk.headers["Host"], "\r\n" }
  local function add(text) parts[#parts + 1] = text end
  if token ~= "" then add("Authorization: Bearer " .. token .. "\r\n") end
  add("Accept: application/json\r\nUser-Agent: tollhouse-bench\r\n")
  if bytes > 0 or method ~= "GET" then
    add("Content-Type: application/json\r\nContent-Length: " .. bytes .. "\r\n")
  end
  add("\r\n")
  add(string.rep("x", bytes))
  return table.concat(parts)
end

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, token, bytes = line:match("^(.-)\t(.-)\t(.-)\t(%d+)$")
    requests[#requests + 1] = request_of(method, path, token, tonumber(bytes))
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
