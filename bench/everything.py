"""Two configurations of the gateway: what the peers do, and everything that the product does.

The targets are measured with everything on. What stays as it is by default (metrics, request ids, forwarding fields,
the record of when a key was last used) is on in both.
"""

from __future__ import annotations

from typing import Any, Final

from bench.policy import WIDE

LOOPBACK: Final = ["127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32"]
"""An address list of which the first entry matches; the others are there as in real lists."""


def like_the_peers(config: dict[str, Any]) -> dict[str, Any]:
    """Return it without what the peers do not do: identity fields and rate-limit fields."""
    return _counted(config) | {
        "dialect": {"rate_headers": ["off"]},
        "identity_headers": dict.fromkeys(
            ("key_id", "lineage", "tenant", "scopes", "environment"), ""
        ),
    }


def everything_on(config: dict[str, Any]) -> dict[str, Any]:
    """Return it with address rules on key, tenant and route, three buckets per request, and both logs."""
    shared = {"rate": {"per_minute": WIDE, "burst": WIDE}}
    plans = config["plans"] | {
        "per-tenant": shared | {"owners": ["tenant"]},
        "per-route": shared | {"owners": ["route"]},
    }
    bootstrap = config["bootstrap"]
    return _counted(config) | {
        "plans": plans,
        "routes": [
            route | {"plan": "per-route", "ip_allowlist": LOOPBACK} for route in config["routes"]
        ],
        "telemetry": {"access_log": {"path": "access.log"}},
        "request_log": {"path": "requests"},
        "bootstrap": {
            "tenants": [
                tenant | {"plan": "per-tenant", "ip_allowlist": LOOPBACK}
                for tenant in bootstrap["tenants"]
            ],
            "keys": [key | {"ip_allowlist": LOOPBACK} for key in bootstrap["keys"]],
        },
    }


def _counted(config: dict[str, Any]) -> dict[str, Any]:
    """Return it with a throttle that counts failed keys but never slows: a flood must reach what is measured."""
    return config | {"authentication": {"throttle": {"failures": 1_000_000_000}}}
