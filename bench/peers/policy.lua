-- The policy in nginx: key, route, scope, limit per key, count per route and status.
-- `policy_data` is written for each run. A limit is a token bucket: what is left and when that was.

local data = require "policy_data"
local buckets, counts = ngx.shared.buckets, ngx.shared.counts
local pending = {}
local policy = {}

local function refuse(status)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print('{"status":', status, '}')
  return ngx.exit(status)
end

local function route_of(method, path)
  local exact = data.routes[method .. " " .. path]
  if exact then return exact end
  local parent = path:match("^(.*)/[^/]+$")
  return parent and data.routes[method .. " " .. parent .. "/{id}"]
end

-- One worker, and Lua does not yield between reading and writing, so this is one act.
local function take(key)
  local now = ngx.now()
  local left, at = buckets:get(key.name), buckets:get("at:" .. key.name)
  if left then
    left = math.min(key.limit, left + (now - at) * key.limit / 60)
  else
    left = key.limit
  end
  local may_pass = left >= 1
  buckets:set(key.name, may_pass and left - 1 or left)
  buckets:set("at:" .. key.name, now)
  return may_pass
end

-- The route and the key of a request that may go on, else nothing and the status to refuse with.
local function judge(method, path)
  local route = route_of(method, path)
  if not route then return nil, 404 end
  ngx.ctx.route = route.name
  local authorization = ngx.var.http_authorization
  if not authorization or authorization:sub(1, 7) ~= "Bearer " then return nil, 401 end
  local key = data.keys[authorization:sub(8)]
  if not key then return nil, 401 end
  if not key.scopes[route.scope] then return nil, 403 end
  return key
end

function policy.check()
  local key, status = judge(ngx.req.get_method(), ngx.var.uri)
  if not key then return refuse(status) end
  if not take(key) then return refuse(429) end
end

-- For a gateway that asks about a request of which it tells method and URI.
function policy.decide()
  local path = (ngx.var.http_x_forwarded_uri or "/"):match("^[^?]*")
  local key, status = judge(ngx.var.http_x_forwarded_method or "", path)
  return ngx.exit(key and 200 or status)
end

function policy.record()
  local what = (ngx.ctx.route or "none") .. " " .. ngx.status
  pending[what] = (pending[what] or 0) + 1
end

local function flush()
  for what, count in pairs(pending) do counts:incr(what, count, 0) end
  pending = {}
end

function policy.count_every_second() ngx.timer.every(1, flush) end

return policy
