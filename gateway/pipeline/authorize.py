"""Step 3: may this principal do this, from there?

Knows the order of the three questions: environment, address, scope. Every list that is not empty must allow the
address; every scope of the route must be held. It must not know how an address was found or what a scope means.
"""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
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
    if route.allowlist is not None and not route.allowlist.allows(address):
        return Denial(
            reason=Reason.IP_NOT_ALLOWED,
            client_address=address if key is not None else "",
            internal=f"route {route.name}",
        )
    if key is None:
        return Permit(principal)
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
    for allowlist in key.allowlists:
        if not allowlist.allows(address):
            return Denial(
                reason=Reason.IP_NOT_ALLOWED, client_address=address, internal="key or tenant"
            )
    scopes = key.scopes
    for scope in route.scopes:
        if scope not in scopes:
            return Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=route.scopes)
    return None
