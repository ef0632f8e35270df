"""What each step of the story hands to the next.

Proof by type: `forward` takes an `Admission`; only `limit` makes one, from a `Permit`; only `authorize` makes one,
from a `Principal`; only `authenticate` makes one, from a `Match`. A request that skipped a check cannot be forwarded
without a type error. Plain slotted classes, immutable by convention: a head that comes again, from the same address and
with the same key, is given the principal and the permit that it was given before.
"""

from __future__ import annotations

from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Grant
from gateway.domain.outcome import Reply as Reply
from gateway.domain.routes import Match
from gateway.domain.shadow import Finding


class Principal:
    """Who asks: a usable key, or nobody (`key` is None) on a route that needs none."""

    __slots__ = ("key", "match")

    def __init__(self, match: Match, key: BoundKey | None) -> None:
        self.match = match
        self.key = key


class Shadow:
    """What rules in shadow mode say to a permit: whom they would refuse already, and the plans that are still to be
    tried.
    """

    __slots__ = ("findings", "plans")

    def __init__(self, findings: tuple[Finding, ...], plans: tuple[tuple[Claim, ...], ...]) -> None:
        self.findings = findings
        self.plans = plans


class Permit:
    """A principal that may do what it asks for, from where it asks.

    `claims` are all limits that it draws on; `shadow` is None where no rule is in shadow mode.
    """

    __slots__ = ("claims", "principal", "shadow")

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        key, own = principal.key, principal.match.route.claims
        self.claims: tuple[Claim, ...] = own if key is None else key.claims + own
        self.shadow: Shadow | None = None


class Admission:
    """A permitted request that its limits let through; `grant` is what it drew (None when nothing limits it)."""

    __slots__ = ("grant", "permit")

    def __init__(self, permit: Permit, grant: Grant | None) -> None:
        self.permit = permit
        self.grant = grant
