"""Step 3: may this principal do this, from there?

Knows the order of the three questions: environment, address, scope. Every list that is not empty must allow the
address; every scope of the route must be held. It must not know how an address was found or what a scope means.
"""

from __future__ import annotations

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.networks import Allowlist
from gateway.domain.routes import Route
from gateway.pipeline.shadow import cast_shadow
from gateway.pipeline.values import Permit, Principal


def authorize(
    principal: Principal, address: str, barred: frozenset[tuple[str, str]]
) -> Permit | Denial:
    """Return a permit, or the first reason against it.

    `barred` are the pairs of an environment and the name of a route which keys of that environment may not use.
    """
    head = principal.match.head
    memo = head.memo_permit
    if memo is not None and memo[0] is principal and memo[1] == address and memo[2] is barred:
        known: Permit | Denial = memo[
            3
        ]  # the same route, and the same key: it is replaced when it changes
        return known
    key, route = principal.key, principal.match.route
    decided: Permit | Denial | None = _against(key, route, address, barred)
    if decided is None:
        decided = permit = Permit(principal)
        if route.shadow is not None or (key is not None and key.shadow is not None):
            permit.shadow = cast_shadow(route.shadow, key, address)
    head.memo_permit = (principal, address, barred, decided)
    return decided


def _against(
    key: BoundKey | None, route: Route, address: str, barred: frozenset[tuple[str, str]]
) -> Denial | None:
    if key is None:
        return _from_there(route.allowlist, address, "")
    environment = key.record.environment
    if route.environments and environment not in route.environments:
        return Denial(reason=Reason.ENV_MISMATCH, internal=f"key is {environment}")
    if barred and (environment, route.name) in barred:
        return Denial(
            reason=Reason.ENV_MISMATCH, internal=f"{environment} keys may not use {route.name}"
        )
    refused = _from_there(route.allowlist, address, address)
    if refused is not None:
        return refused
    for allowlist in key.allowlists:
        refused = _from_there(allowlist, address, address)
        if refused is not None:
            return refused
    scopes = key.scopes
    for scope in route.scopes:
        if scope not in scopes:
            return Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=route.scopes)
    return None


def _from_there(allowlist: Allowlist | None, address: str, told: str) -> Denial | None:
    """Refuse an address that the list does not allow; `told` is what the caller may hear of it."""
    if allowlist is None or allowlist.allows(address):
        return None
    internal = f"the list of the {allowlist.owner}"
    return Denial(reason=Reason.IP_NOT_ALLOWED, client_address=told, internal=internal)
