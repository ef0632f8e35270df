"""Caddy: keys and scopes in one `map`, a handler per route. The standard build has no rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template
from typing import Final

from bench.machine import program
from bench.peers.site import Launch, Site
from bench.policy import Policy, Route

CADDYFILE: Final = Template("""
{
\tadmin off
\tauto_https off
\tstorage file_system $folder/storage
\tlog {
\t\tlevel ERROR
\t}
\tservers {
\t\tmetrics
\t}
}
(forward) {
\treverse_proxy 127.0.0.1:$upstream {
\t\ttransport http {
\t\t\tkeepalive 1h
\t\t\tkeepalive_idle_conns 8192
\t\t\tkeepalive_idle_conns_per_host 8192
\t\t}
\t}
}
http://127.0.0.1:$port, http://localhost:$port {
\tbind 127.0.0.1
$policy
}
""")


def caddy(site: Site) -> Launch:
    """Carry out the policy without limits on one core."""
    text = CADDYFILE.substitute(
        folder=site.folder,
        upstream=site.upstream_port,
        port=site.port,
        policy="\n".join(f"\t{line}" for line in _policy(site.policy)),
    )
    config = site.write("Caddyfile", text)
    command = [program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
    home = {"XDG_DATA_HOME": str(site.folder), "XDG_CONFIG_HOME": str(site.folder)}
    return Launch(command, home | {"GOMAXPROCS": "1"})


def _policy(policy: Policy) -> Iterator[str]:
    columns = [_column(scope) for scope in policy.scopes]
    yield f"map {{http.request.header.Authorization}} {{key}} {' '.join(columns)} {{"
    for key in policy.keys:
        grants = " ".join("yes" if scope in key.scopes else "no" for scope in policy.scopes)
        yield f'\t"Bearer {key.token}" {key.name} {grants}'
    yield f"\tdefault none {' '.join('no' for _ in columns)}"
    yield "}"
    yield "@unknown vars {key} none"
    yield "route {"
    for n, route in enumerate(policy.routes):
        yield from _route(n, route)
    yield "\trespond 404"
    yield "}"


def _route(n: int, route: Route) -> Iterator[str]:
    yield f"\t@route{n} {{"
    yield f"\t\tmethod {route.method}"
    yield f"\t\tpath {route.path.replace('{id}', '*')}"
    yield "\t}"
    yield f"\t@denied{n} not vars {_column(route.scope)} yes"
    yield f"\thandle @route{n} {{"
    yield "\t\trespond @unknown 401"
    yield f"\t\trespond @denied{n} 403"
    yield "\t\timport forward"
    yield "\t}"


def _column(scope: str) -> str:
    return "{may_" + scope.replace(":", "_") + "}"
