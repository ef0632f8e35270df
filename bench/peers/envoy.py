"""Envoy: `api_key_auth` with the allowed clients of each route, `local_ratelimit` with a bucket per client."""

from __future__ import annotations

import json
from typing import Any, Final

from bench.machine import program
from bench.peers.site import Launch, Site
from bench.policy import WIDE, Policy, Route

_HTTP: Final = "type.googleapis.com/envoy.extensions.filters.http."
_MANAGER: Final = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)
_CLIENT: Final = "x-client-id"
_ALL: Final = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}


def envoy(site: Site) -> Launch:
    """Carry out the policy with one worker thread."""
    config = site.write("envoy.json", json.dumps(_config(site)))
    command = [program("envoy"), "-c", str(config), "--concurrency", "1"]
    return Launch([*command, "--disable-hot-restart", "-l", "error"])


def _config(site: Site) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "gateway",
        "generate_request_id": False,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [_route(route, site.policy) for route in site.policy.routes],
                }
            ]
        },
        "http_filters": _filters(site.policy),
    }
    chain = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]
    }
    listener = {"name": "gateway", "address": _address(site.port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(site)]}}


def _route(route: Route, policy: Policy) -> dict[str, Any]:
    is_item = route.path.endswith("{id}")
    path = {"prefix": route.path.removesuffix("{id}")} if is_item else {"path": route.path}
    method = {"name": ":method", "string_match": {"exact": route.method}}
    client = {"request_headers": {"header_name": _CLIENT, "descriptor_key": "client"}}
    return {
        "name": route.name,
        "stat_prefix": route.name.replace(".", "_"),
        "match": path | {"headers": [method]},
        "route": {"cluster": "upstream", "rate_limits": [{"actions": [client]}]},
        "typed_per_filter_config": {
            "envoy.filters.http.api_key_auth": {
                "@type": f"{_HTTP}api_key_auth.v3.ApiKeyAuthPerRoute",
                "forwarding": {"header": _CLIENT},
                "allowed_clients": [key.name for key in policy.keys if route.scope in key.scopes],
            }
        },
    }


def _filters(policy: Policy) -> list[dict[str, Any]]:
    auth = {
        "@type": f"{_HTTP}api_key_auth.v3.ApiKeyAuth",
        "credentials": [{"key": key.token, "client": key.name} for key in policy.keys],
        "key_sources": [{"header": "Authorization"}],
        "forwarding": {"header": _CLIENT},
    }
    limit = {
        "@type": f"{_HTTP}local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limits",
        "token_bucket": _bucket(400 * WIDE),
        "filter_enabled": _ALL,
        "filter_enforced": _ALL,
        "descriptors": [
            {"entries": [{"key": "client", "value": k.name}], "token_bucket": _bucket(k.limit)}
            for k in policy.keys
        ],
    }
    router = {"@type": f"{_HTTP}router.v3.Router"}
    named = {"api_key_auth": auth, "local_ratelimit": limit, "router": router}
    return [
        {"name": f"envoy.filters.http.{name}", "typed_config": config}
        for name, config in named.items()
    ]


def _cluster(site: Site) -> dict[str, Any]:
    bounds = dict.fromkeys(("max_connections", "max_requests", "max_pending_requests"), 8192)
    endpoint = {"endpoint": {"address": _address(site.upstream_port)}}
    return {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [bounds]},
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _bucket(per_minute: int) -> dict[str, Any]:
    return {"max_tokens": per_minute, "tokens_per_fill": per_minute, "fill_interval": "60s"}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
