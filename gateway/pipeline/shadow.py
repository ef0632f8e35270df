"""Beside steps 3 and 4: what would rules in shadow mode refuse?

Knows how such rules are tried on a request that the enforced ones let through, and that nothing comes of it but a note.
Only requests that such a rule concerns come here. It must not refuse anything.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Grant
from gateway.domain.outcome import Outcome
from gateway.domain.shadow import Finding, RuleKind, ShadowRules
from gateway.pipeline.generation import Generation
from gateway.pipeline.limit import refusal_reason
from gateway.pipeline.values import Shadow
from gateway.ports import Limiter, LimiterUnavailable

_SCOPE: Final = Finding(RuleKind.SCOPE, Reason.INSUFFICIENT_SCOPE)
_ADDRESSES: Final = {
    kind.value.removesuffix("_ip"): Finding(kind, Reason.IP_NOT_ALLOWED)
    for kind in (RuleKind.ROUTE_IP, RuleKind.TENANT_IP, RuleKind.KEY_IP)
}
"""What is found by the owner of a list."""


def cast_shadow(of_route: ShadowRules | None, key: BoundKey | None, address: str) -> Shadow:
    """Return what is known before limits are asked: whose address or scopes would not do."""
    findings: list[Finding] = []
    plans: tuple[tuple[Claim, ...], ...] = ()
    of_key = None if key is None else key.shadow
    for rules in (of_route, of_key):
        if rules is not None:
            findings += _of_addresses(rules, address)
            plans += rules.plans
    if of_route is not None and key is not None and not key.scopes.issuperset(of_route.scopes):
        findings.append(_SCOPE)
    return Shadow(tuple(findings), plans)


async def watch(shadow: Shadow, outcome: Outcome, generation: Generation) -> None:
    """Try the plans, and take note in `outcome` of every rule that would have refused the request.

    What a plan holds for as long as the request lasts is given back with what the request itself holds.
    """
    findings = shadow.findings
    for claims in shadow.plans:
        grant = await _drawn(claims, generation.limiter)
        if grant.refused is not None:
            reason = refusal_reason(grant.refused)
            findings += (Finding(RuleKind.LIMIT, reason, grant.refused.policy),)
        elif grant.held:
            _hold(outcome, grant.held)
    if findings:
        outcome.shadow = findings
        generation.shadowed(outcome)


async def _drawn(claims: tuple[Claim, ...], limiter: Limiter) -> Grant:
    try:
        found = limiter.acquire(claims)
        return found if isinstance(found, Grant) else await found
    except LimiterUnavailable:
        return Grant(())  # nobody could count: that is no finding, and refuses nothing either


def _hold(outcome: Outcome, held: tuple[str, ...]) -> None:
    if outcome.grant is None:
        outcome.grant = Grant((), held=held)
    else:
        outcome.grant.held += held


def _of_addresses(rules: ShadowRules, address: str) -> list[Finding]:
    return [
        _ADDRESSES[allowlist.owner]
        for allowlist in rules.allowlists
        if not allowlist.allows(address)
    ]
