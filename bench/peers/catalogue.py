"""Who there is to compare with. A peer takes part when its program is on the PATH."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench.peers import nginx
from bench.peers.caddy import caddy
from bench.peers.envoy import envoy
from bench.peers.haproxy import haproxy
from bench.peers.site import EVERY_REFUSAL, Launch, Peer, Site
from bench.peers.traefik import traefik

ROOT: Final = Path(__file__).parents[2]


def aiohttp_proxy(site: Site) -> Launch:
    """Run the aiohttp proxy on this interpreter."""
    upstream = f"http://127.0.0.1:{site.upstream_port}"
    command = [sys.executable, "-m", "bench.peers.aiohttp_proxy"]
    return Launch([*command, "--port", str(site.port), "--upstream", upstream], cwd=ROOT)


PLAIN_NGINX: Final = Peer(
    name="plain nginx", prepare=nginx.plain, refusals=frozenset(), lacks="any policy"
)
NGINX_LUA: Final = Peer(name="nginx + Lua", prepare=nginx.lua, lacks="hashed keys")
HAPROXY: Final = Peer(
    name="HAProxy", prepare=haproxy, lacks="hashed keys; its limit is a sliding rate"
)
ENVOY: Final = Peer(
    name="Envoy", prepare=envoy, lacks="hashed keys; a scope is a list of clients per route"
)
CADDY: Final = Peer(
    name="Caddy",
    prepare=caddy,
    refusals=EVERY_REFUSAL - {429},
    lacks="hashed keys, limits, metrics per route",
)
TRAEFIK: Final = Peer(
    name="Traefik",
    prepare=traefik,
    lacks="keys and scopes: it asks nginx + Lua on the same core, which is counted in",
)
AIOHTTP: Final = Peer(name="aiohttp proxy", prepare=aiohttp_proxy)

PEERS: Final = (NGINX_LUA, HAPROXY, ENVOY, CADDY, TRAEFIK, AIOHTTP)
