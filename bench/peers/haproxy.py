"""HAProxy: keys, routes and grants in maps, the limit in a stick table, a backend per route so that each is counted."""

from __future__ import annotations

from collections.abc import Iterable
from string import Template
from typing import Final

from bench.machine import program
from bench.peers.site import Launch, Site

CONFIG: Final = Template("""
global
  maxconn 8192
  nbthread 1
  log /dev/null local0
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
backend rates
  stick-table type string len 32 size 10k expire 2m store http_req_rate(60s)
frontend gateway
  bind 127.0.0.1:$port backlog 4096
  acl is_known var(txn.key) -m found
  acl is_routed var(txn.route) -m found
  http-request set-var(txn.path) path
  http-request set-var(txn.call) method,concat(":",txn.path)
  http-request set-var(txn.route) var(txn.call),map_str($folder/exact.map)
  http-request set-var(txn.route) var(txn.call),map_beg($folder/below.map) if !is_routed
  http-request return status 404 content-type application/json string '{"status":404}' if !is_routed
  http-request set-var(txn.key) http_auth_bearer,map_str($folder/keys.map)
  http-request return status 401 content-type application/json string '{"status":401}' if !is_known
  http-request set-var(txn.scope) var(txn.route),map_str($folder/scopes.map)
  acl is_granted var(txn.key),concat(":",txn.scope),map_str($folder/grants.map) -m found
  http-request return status 403 content-type application/json string '{"status":403}' if !is_granted
  http-request set-var(txn.limit) var(txn.key),map_str_int($folder/limits.map)
  http-request track-sc0 var(txn.key) table rates
  acl is_over sc_http_req_rate(0,rates),sub(txn.limit) gt 0
  http-request return status 429 content-type application/json string '{"status":429}' if is_over
  use_backend %[var(txn.route)]
$backends
""")


def haproxy(site: Site) -> Launch:
    """Carry out the policy; the limit is a sliding rate over a minute."""
    policy = site.policy
    routes = {f"{route.method}:{route.path}": route.name for route in policy.routes}
    items = {path: name for path, name in routes.items() if path.endswith("{id}")}
    below = {path.removesuffix("{id}"): name for path, name in items.items()}
    _map(site, "exact", ((path, name) for path, name in routes.items() if path not in items))
    _map(site, "below", below.items())
    _map(site, "scopes", ((route.name, route.scope) for route in policy.routes))
    _map(site, "keys", ((key.token, key.name) for key in policy.keys))
    _map(site, "limits", ((key.name, str(key.limit)) for key in policy.keys))
    _map(site, "grants", ((f"{k.name}:{scope}", "1") for k in policy.keys for scope in k.scopes))
    backends = "\n".join(
        f"backend {route.name}\n  server upstream 127.0.0.1:{site.upstream_port} pool-max-conn -1"
        for route in policy.routes
    )
    text = CONFIG.substitute(port=site.port, folder=site.folder, backends=backends)
    config = site.write("haproxy.cfg", text)
    return Launch([program("haproxy", "haproxy"), "-db", "-f", str(config)])


def _map(site: Site, name: str, pairs: Iterable[tuple[str, str]]) -> None:
    site.write(f"{name}.map", "".join(f"{key} {value}\n" for key, value in pairs))
