"""Says, step by step, what a request was judged by: the commentary on a rehearsal.

Knows what each step of the story looked at, and reads it off the values that the steps were given and made. What is
said here decides nothing. A time is epoch seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.denial import Denial, Reason
from gateway.domain.keys import BoundKey
from gateway.domain.limits import Claim, Quota, Rate
from gateway.domain.networks import Allowlist
from gateway.domain.outcome import Outcome
from gateway.domain.routes import Route
from gateway.domain.shadow import ENFORCE, SHADOW, ShadowRules
from gateway.pipeline.generation import Generation
from gateway.pipeline.rehearsal import RehearsedExchange, RehearsedLimiter

Facts = Mapping[str, Any]
"""What a step looked at, in words, numbers and lists of them."""

_NAMES: Final = (
    *("client_address", "request", "route", "key", "tenant", "environment"),
    *("addresses", "scopes", "limits", "handler"),
)
"""The steps, in the order in which a request takes them."""

_STEP_OF: Final = {
    Reason.TENANT_SUSPENDED: "tenant",
    Reason.CROSS_TENANT: "tenant",
    Reason.TENANT_REQUIRED: "tenant",
    Reason.ENV_MISMATCH: "environment",
    Reason.IP_NOT_ALLOWED: "addresses",
    Reason.INSUFFICIENT_SCOPE: "scopes",
    Reason.RATE_LIMITED: "limits",
    Reason.QUOTA_EXCEEDED: "limits",
    Reason.CONCURRENCY_LIMITED: "limits",
    Reason.LIMITER_UNAVAILABLE: "limits",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. `result` is `passed`, `refused`, `not_asked` (it does not concern this request) or `not_reached`."""

    name: str
    result: str
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that a rehearsal left behind. `line` is the request line that the upstream would get."""

    exchange: RehearsedExchange
    outcome: Outcome
    key: BoundKey | None
    generation: Generation
    limiter: RehearsedLimiter
    line: str
    derivation: str
    throttled_seconds: int


def steps(scene: Scene) -> tuple[Step, ...]:
    """Return all steps in their order; those after a refusal were not reached and tell nothing."""
    ended, route = _ended_at(scene), scene.outcome.route
    told: list[Step] = []
    for name in _NAMES:
        if ended in [step.name for step in told]:
            told.append(Step(name=name, result="not_reached", facts={}))
        elif name == ended:
            facts = {**_facts(name, scene), **_refusal(scene.outcome)}
            told.append(Step(name=name, result="refused", facts=facts))
        elif _is_asked(name, route):
            told.append(Step(name=name, result="passed", facts=_facts(name, scene)))
        else:
            told.append(Step(name=name, result="not_asked", facts={}))
    return tuple(told)


def _ended_at(scene: Scene) -> str:
    """Return the step that refused; empty when none did."""
    outcome = scene.outcome
    if scene.exchange.malformed is not None:
        return "request"
    if not isinstance(outcome.result, Denial):
        return ""
    if outcome.route is None:
        return "route"
    at = _STEP_OF.get(outcome.result.reason, "")
    if at:
        return at
    was_let_in = outcome.key is not None and outcome.result.key is None
    return "handler" if was_let_in or not outcome.route.needs_key else "key"


def _is_asked(name: str, route: Route | None) -> bool:
    if name in {"client_address", "request", "handler"}:
        return True
    if route is None:
        return False  # OPTIONS *: it asks about the server as a whole
    return route.needs_key or name not in {"key", "tenant", "environment", "scopes"}


def _refusal(outcome: Outcome) -> Facts:
    denial = outcome.result
    assert isinstance(denial, Denial)
    facts: dict[str, Any] = {"reason": denial.reason.value}
    if denial.internal:
        facts["detail"] = denial.internal
    if denial.allow:
        facts["allow"] = list(denial.allow)
    if denial.retry_after_seconds:
        facts["retry_after_seconds"] = denial.retry_after_seconds
    return facts


def _facts(name: str, scene: Scene) -> Facts:
    return _TELLERS[name](scene)


# ---- each step


def _client_address(scene: Scene) -> Facts:
    exchange = scene.exchange
    return {
        "peer_address": exchange.peer_address,
        "client_address": exchange.client_address,
        "network": exchange.client_network,
        "derivation": scene.derivation,
    }


def _request(scene: Scene) -> Facts:
    head = scene.exchange.head
    return {"method": head.method, "path": head.path, "host": head.host}


def _route(scene: Scene) -> Facts:
    route = scene.outcome.route
    if route is None:
        return {}
    return {
        "route": route.name,
        "pattern": route.pattern,
        "methods": sorted(route.methods),
        "hosts": list(route.hosts),
        "needs_key": route.needs_key,
    }


def _key(scene: Scene) -> Facts:
    facts: dict[str, Any] = {"throttled_seconds": scene.throttled_seconds}
    if scene.key is None:
        return facts
    record = scene.key.record
    return facts | {
        "key_id": record.key_id,
        "state": record.state_at(scene.generation.clock.now()).value,
        "state_reason": record.state_reason,
        "expires_at": record.expires_at,
        "retires_at": record.retires_at,
        "resume_at": record.resume_at,
    }


def _tenant(scene: Scene) -> Facts:
    assert scene.key is not None
    tenant = scene.key.tenant
    return {
        "tenant_id": tenant.tenant_id,
        "owner": scene.key.record.tenant_id,
        "is_suspended": tenant.is_suspended,
    }


def _environment(scene: Scene) -> Facts:
    key, route = scene.key, scene.outcome.route
    assert route is not None
    environment = "" if key is None else key.record.environment
    return {
        "environment": environment,
        "of_route": sorted(route.environments),
        "is_barred": (environment, route.name) in scene.generation.barred,
    }


def _addresses(scene: Scene) -> Facts:
    key, route, address = scene.key, scene.outcome.route, scene.exchange.client_address
    assert route is not None
    enforced: list[Allowlist] = [] if route.allowlist is None else [route.allowlist]
    enforced += () if key is None else key.allowlists
    shadows = [each for rules in _shadows(route, key) for each in rules.allowlists]
    return {
        "address": address,
        "rules": [_rule(each, ENFORCE, address) for each in enforced]
        + [_rule(each, SHADOW, address) for each in shadows],
    }


def _rule(allowlist: Allowlist, mode: str, address: str) -> Facts:
    network = allowlist.containing(address)
    return {
        "rule": f"{allowlist.owner}_ip",
        "mode": mode,
        "is_allowed": bool(network),
        "network": network or None,
    }


def _scopes(scene: Scene) -> Facts:
    key, route = scene.key, scene.outcome.route
    assert route is not None
    held = frozenset[str]() if key is None else key.scopes
    of_shadow = () if route.shadow is None else route.shadow.scopes
    required = route.scopes or of_shadow
    return {
        "mode": SHADOW if of_shadow else ENFORCE,
        "required": list(required),
        "held": sorted(held),
        "missing": [scope for scope in required if scope not in held],
    }


def _limits(scene: Scene) -> Facts:
    key, route = scene.key, scene.outcome.route
    assert route is not None
    claims = (*(() if key is None else key.claims), *route.claims)
    plans = [each for rules in _shadows(route, key) for each in rules.plans]
    denial = scene.outcome.result
    grant = denial.grant if isinstance(denial, Denial) else None
    refusing = "" if grant is None or grant.refused is None else grant.refused.bucket
    return {
        "is_known": scene.limiter.is_known,
        "buckets": [_bucket(claim, ENFORCE, scene.limiter, refusing) for claim in claims]
        + [_bucket(claim, SHADOW, scene.limiter, "") for plan in plans for claim in plan],
    }


def _bucket(claim: Claim, mode: str, limiter: RehearsedLimiter, refusing: str) -> Facts:
    """Tell how many requests a bucket has room for, before this one and after it; None is not known."""
    rule = claim.rule
    kind = "rate" if isinstance(rule, Rate) else "quota" if isinstance(rule, Quota) else "running"
    before, after = limiter.before.get(claim.bucket), limiter.after.get(claim.bucket)
    return {
        "policy": claim.policy,
        "owner": claim.owner,
        "kind": kind,
        "mode": mode,
        "limit": rule.limit,
        "remaining_before": None if before is None else rule.remaining(before),
        "remaining_after": None if after is None else rule.remaining(after),
        "refuses": claim.bucket == refusing,
    }


def _handler(scene: Scene) -> Facts:
    route = scene.outcome.route
    if route is None or scene.exchange.head.ends_here:
        return {"handler": "options"}
    if route.handler == "introspect":
        return {"handler": route.handler}
    environment = "" if scene.key is None else scene.key.record.environment
    return {
        "handler": route.handler,
        "upstream": scene.generation.upstream(route.upstream, environment).name,
        "request_line": scene.line,
    }


def _shadows(route: Route, key: BoundKey | None) -> Iterable[ShadowRules]:
    if route.shadow is not None:
        yield route.shadow
    if key is not None and key.shadow is not None:
        yield key.shadow


_TELLERS: Final[Mapping[str, Callable[[Scene], Facts]]] = {
    "client_address": _client_address,
    "request": _request,
    "route": _route,
    "key": _key,
    "tenant": _tenant,
    "environment": _environment,
    "addresses": _addresses,
    "scopes": _scopes,
    "limits": _limits,
    "handler": _handler,
}
