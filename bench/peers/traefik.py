"""Traefik: it has no API keys, so `forwardAuth` asks an nginx with the policy in Lua, on the same core.

Its rate limit is a token bucket per Authorization, so the one key with a narrow limit has a router of its own.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

from bench.machine import free_port, program
from bench.peers import nginx
from bench.peers.site import Launch, Site
from bench.policy import NARROW, WIDE, Route


def traefik(site: Site) -> Launch:
    """Carry out the policy with a second process that decides."""
    binary = program("traefik")
    folder = site.folder / "decides"
    folder.mkdir()
    decides = replace(site, folder=folder, port=free_port())
    beside = shlex.join(nginx.lua_decision(decides).command)
    site.write("dynamic.yml", json.dumps(_dynamic(site, decides.port)))
    config = site.write("traefik.yml", json.dumps(_static(site)))
    script = f"{beside} & exec {shlex.join([binary, f'--configfile={config}'])}"
    return Launch(["sh", "-c", script], {"GOMAXPROCS": "1"})


def _static(site: Site) -> dict[str, Any]:
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {
            "gateway": {
                "address": f"127.0.0.1:{site.port}",
                "transport": {"keepAliveMaxRequests": 0},
            },
            "metrics": {"address": f"127.0.0.1:{free_port()}"},
        },
        "providers": {"file": {"filename": str(site.folder / "dynamic.yml"), "watch": False}},
        "metrics": {"prometheus": {"entryPoint": "metrics", "addRoutersLabels": True}},
    }


def _dynamic(site: Site, decides_port: int) -> dict[str, Any]:
    routers = {
        route.name.replace(".", "-"): _router(_rule(route), "wide", 10)
        for route in site.policy.routes
    }
    token = site.policy.limited.token
    rule = f"PathPrefix(`/api/v1/`) && Header(`Authorization`, `Bearer {token}`)"
    routers["limited"] = _router(rule, "narrow", 100)
    servers = [{"url": f"http://127.0.0.1:{site.upstream_port}"}]
    ask = {
        "address": f"http://127.0.0.1:{decides_port}/",
        "authRequestHeaders": ["Authorization"],
    }
    return {
        "http": {
            "routers": routers,
            "services": {
                "upstream": {"loadBalancer": {"servers": servers, "serversTransport": "t"}}
            },
            "serversTransports": {"t": {"maxIdleConnsPerHost": 8192}},
            "middlewares": {
                "decide": {"forwardAuth": ask},
                "wide": _limit(WIDE),
                "narrow": _limit(NARROW),
            },
        }
    }


def _router(rule: str, limit: str, priority: int) -> dict[str, Any]:
    middlewares = ["decide", limit]
    return {"rule": rule, "service": "upstream", "middlewares": middlewares, "priority": priority}


def _rule(route: Route) -> str:
    is_item = route.path.endswith("{id}")
    path = route.path.removesuffix("{id}")
    return f"Method(`{route.method}`) && {'PathPrefix' if is_item else 'Path'}(`{path}`)"


def _limit(per_minute: int) -> dict[str, Any]:
    source = {"requestHeaderName": "Authorization"}
    average = {"average": per_minute, "burst": per_minute, "period": "60s"}
    return {"rateLimit": average | {"sourceCriterion": source}}
