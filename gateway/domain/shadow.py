"""Rules in shadow mode: what they would refuse is found out and told, and nothing is refused.

Knows which rules can be tried in this way, and what a finding says. It must not know how requests are judged.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.limits import Claim
from gateway.domain.networks import Allowlist

SHADOW: Final = "shadow"
ENFORCE: Final = "enforce"
"""The modes of a rule."""


class RuleKind(StrEnum):
    """What kind of rule would have refused, and whose it is."""

    SCOPE = "scope"
    ROUTE_IP = "route_ip"
    TENANT_IP = "tenant_ip"
    KEY_IP = "key_ip"
    LIMIT = "limit"


class ShadowRules:
    """The rules of a route, or of a key with its tenant, that are in shadow mode; compiled when they are loaded.

    `scopes` would all be required, each of `allowlists` would have to allow the address, and each of `plans` would be
    drawn on: the claims of one plan together, so that each plan is tried as if it were the only one.
    """

    __slots__ = ("allowlists", "plans", "scopes")

    def __init__(
        self,
        *,
        scopes: tuple[str, ...] = (),
        allowlists: tuple[Allowlist, ...] = (),
        plans: tuple[tuple[Claim, ...], ...] = (),
    ) -> None:
        self.scopes = scopes
        self.allowlists = allowlists
        self.plans = plans


class Finding:
    """One rule that would have refused a request: what kind of rule, for which reason, and of a limit which policy."""

    __slots__ = ("kind", "policy", "reason")

    def __init__(self, kind: RuleKind, reason: Reason, policy: str = "") -> None:
        self.kind = kind
        self.reason = reason
        self.policy = policy


def shadow_rules(
    scopes: tuple[str, ...] = (),
    allowlists: tuple[Allowlist, ...] = (),
    plans: tuple[tuple[Claim, ...], ...] = (),
) -> ShadowRules | None:
    """Return the rules that are in shadow mode, None when there are none: then a request pays for one test."""
    kept = tuple(claims for claims in plans if claims)
    if not (scopes or allowlists or kept):
        return None
    return ShadowRules(scopes=scopes, allowlists=allowlists, plans=kept)
