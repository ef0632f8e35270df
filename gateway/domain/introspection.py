"""What a key may learn about itself: the body of the gateway-answered introspection route.

Knows the shape of that answer in each dialect. It must not know routes, stores or limiters: whoever
answers hands in a view. Nothing here can tell a secret, since a view holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any, Final, NamedTuple

from gateway.domain.dialects.fill import timestamp

FIELDS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
"""The header fields of the answer (status 200), in every dialect."""


class LimitLine(NamedTuple):
    """How one limit stands after this request. `window_seconds` is the length of its period."""

    policy: str
    limit: int
    remaining: int
    window_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionView:
    """What the answer may tell of the key that asked.

    `company_name` is the tenant's name; `permissions` the granted atoms, in the order to be shown;
    `expires_at` and `answered_at` are epoch seconds, `expires_at` None for never; `limits` are what
    counts for the key, the most restrictive first; `current_usage` is what it has used of the
    first rate, this request included.
    """

    tenant_id: str
    company_name: str
    plan: str
    permissions: tuple[str, ...]
    key_id: str
    key_name: str
    environment: str
    expires_at: float | None
    limits: tuple[LimitLine, ...]
    current_usage: int
    answered_at: float


def render_introspection(dialect: str, view: IntrospectionView) -> bytes:
    """Return the JSON body of `view` in the dialect of that name; `KeyError` for an unknown one."""
    return dumps(_SHAPES[dialect](view), separators=(",", ":")).encode("ascii")


def requests_per_minute(limits: tuple[LimitLine, ...]) -> int | None:
    """Return what `limits` allow per minute, or None without any.

    The limit that counts by the minute when there is one, else the one with the shortest window,
    converted and rounded down.
    """
    if not limits:
        return None
    line = min(limits, key=lambda line: (line.window_seconds != 60, line.window_seconds))
    return line.limit * 60 // line.window_seconds


def _expiry(view: IntrospectionView) -> str | None:
    return None if view.expires_at is None else timestamp(view.expires_at)


def _limits(view: IntrospectionView, window_name: str) -> list[dict[str, Any]]:
    return [
        {
            "policy": line.policy,
            "limit": line.limit,
            "remaining": line.remaining,
            window_name: line.window_seconds,
        }
        for line in view.limits
    ]


def _problem(view: IntrospectionView) -> dict[str, Any]:
    return {
        "tenant_id": view.tenant_id,
        "tenant": view.company_name,
        "plan": view.plan,
        "key_id": view.key_id,
        "name": view.key_name,
        "environment": view.environment,
        "scopes": view.permissions,
        "expires_at": _expiry(view),
        "limits": _limits(view, "window_seconds"),
    }


def _hirepanda(view: IntrospectionView) -> dict[str, Any]:
    # The vendor knows workspaces and no environments.
    return {
        "workspace": view.company_name,
        "plan": view.plan,
        "key": {
            "id": view.key_id,
            "name": view.key_name,
            "permissions": view.permissions,
            "expires_at": _expiry(view),
        },
        "rate_limits": _limits(view, "window_seconds"),
    }


def _jobhive(view: IntrospectionView) -> dict[str, Any]:
    # Exactly the members of the vendor's text.
    return {
        "success": True,
        "data": {
            "company_name": view.company_name,
            "plan": view.plan,
            "api_key_permissions": view.permissions,
            "rate_limit": {
                "requests_per_minute": requests_per_minute(view.limits),
                "current_usage": view.current_usage,
            },
        },
    }


def _instaview(view: IntrospectionView) -> dict[str, Any]:
    return {
        "success": True,
        "data": _instaview_nest(view),
        "error": None,
        "timestamp": timestamp(view.answered_at),
    }


def _instaview_nest(view: IntrospectionView) -> dict[str, Any]:
    return {
        "companyId": view.tenant_id,
        "companyName": view.company_name,
        "plan": view.plan,
        "keyId": view.key_id,
        "name": view.key_name,
        "environment": view.environment,
        "scopes": view.permissions,
        "expiresAt": _expiry(view),
        "rateLimits": _limits(view, "windowSeconds"),
    }


_SHAPES: Final[Mapping[str, Callable[[IntrospectionView], dict[str, Any]]]] = {
    "problem": _problem,
    "hirepanda": _hirepanda,
    "jobhive": _jobhive,
    "instaview": _instaview,
    "instaview_nest": _instaview_nest,
}
