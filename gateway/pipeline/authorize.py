"""Step 3: may this principal do this, from there?

Knows the order of the three questions: environment, address, scope. Every list that is not empty must allow the
address; every scope of the route must be held. It must not know how an address was found or what a scope means.
"""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.pipeline.values import Permit, Principal


def authorize(
    principal: Principal, address: str, barred: frozenset[tuple[str, str]]
) -> Permit | Denial:
    """Return a permit, or the first reason against it.

    `barred` are the pairs of an environment and the name of a route which keys of that environment may not use.
    """
    route = principal.match.route
    key = principal.key
    if key is None:
        return _from_there(route.allowlist, address, "", f"route {route.name}") or Permit(principal)
    return _against(key, route, address, barred) or Permit(principal)


def _against(
    key: BoundKey, route: Route, address: str, barred: frozenset[tuple[str, str]]
) -> Denial | None:
    environment = key.record.environment
    if route.environments and environment not in route.environments:
        return Denial(reason=Reason.ENV_MISMATCH, internal=f"key is {environment}")
    if barred and (environment, route.name) in barred:
        return Denial(
            reason=Reason.ENV_MISMATCH, internal=f"{environment} keys may not use {route.name}"
        )
    refused = _from_there(route.allowlist, address, address, f"route {route.name}")
    if refused is not None:
        return refused
    for allowlist in key.allowlists:
        refused = _from_there(allowlist, address, address, "key or tenant")
        if refused is not None:
            return refused
    scopes = key.scopes
    for scope in route.scopes:
        if scope not in scopes:
            return Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=route.scopes)
    return None


def _from_there(
    allowlist: Allowlist | None, address: str, told: str, internal: str
) -> Denial | None:
    """Refuse an address that the list does not allow; `told` is what the caller may hear of it."""
    if allowlist is None or allowlist.allows(address):
        return None
    return Denial(reason=Reason.IP_NOT_ALLOWED, client_address=told, internal=internal)
