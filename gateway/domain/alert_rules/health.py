"""What the gateway's own readings tell: its store, its records, its workers, configuration, upstreams, certificates.

Knows two looks in a row, because losses are counted for good. It must not know how readings are taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.durations import in_words
from gateway.domain.alert_rules.settings import RuleBook, RuleSettings
from gateway.domain.alerts import Finding
from gateway.domain.dialects.fill import timestamp

_EVIDENCE: Final = ("audit trail", "request log")
"""Where what is missing is missed later, by whoever asks what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The readings of one look.

    `store_fault` is empty while the store answers. The snapshot of the keys is infinitely old when there is none, and
    not at all where none is kept. `lost` counts what is missing since the start, by where it is
    missing. `upstreams` says which are up; `certificates` when each expires (epoch seconds), by listener and first
    host.
    """

    store_fault: str = ""
    is_limiter_up: bool = True
    snapshot_age_seconds: float = 0.0
    lost: Mapping[str, float] = field(default_factory=dict)
    is_audit_intact: bool = True
    revocations_pending: int = 0
    is_reload_good: bool = True
    upstreams: Mapping[str, bool] = field(default_factory=dict)
    certificates: Mapping[tuple[str, str], float] = field(default_factory=dict)


def unhealthy(
    health: Health, before: Health | None, book: RuleBook, now: float
) -> Iterator[Finding]:
    """Find what is wrong; `before` is the look before this one, None for the first."""
    if health.store_fault:
        text = f"cannot use its key store: {health.store_fault}"
        yield Finding(rule=RuleName.STORE_UNAVAILABLE, text=text)
    else:
        yield from _snapshot(health.snapshot_age_seconds, book[RuleName.SNAPSHOT_STALE])
    if not health.is_limiter_up:
        text = "counts limits by itself, or refuses whoever has one: its Redis does not answer"
        yield Finding(rule=RuleName.LIMITER_UNAVAILABLE, text=text)
    if before is not None:
        yield from _losses(health, before)
    if not health.is_audit_intact:
        text = "has an audit trail that was changed: tollhouse audit verify"
        yield Finding(rule=RuleName.AUDIT_TAMPERED, text=text)
    if health.revocations_pending:
        workers = health.revocations_pending
        # The snapshot of the keys is among them: a restart without the store would go by it.
        who = "1 process or snapshot" if workers == 1 else f"{workers} processes or snapshots"
        text = f"knows of {who} that did not take in a change"
        yield Finding(rule=RuleName.REVOCATION_PENDING, text=text, details={"workers": workers})
    if not health.is_reload_good:
        text = "refused a changed configuration, and goes on with the one before"
        yield Finding(rule=RuleName.RELOAD_FAILED, text=text)
    for upstream, is_up in health.upstreams.items():
        if not is_up:
            text = f"knows no target of the upstream {upstream} that should get requests"
            details = {"upstream": upstream}
            yield Finding(rule=RuleName.UPSTREAM_DOWN, subject=upstream, text=text, details=details)
    yield from _certificates(health, book[RuleName.CERTIFICATE_EXPIRING], now)


def _snapshot(seconds: float, rule: RuleSettings) -> Iterator[Finding]:
    if seconds > rule["older_than"]:
        what = "has no snapshot" if seconds == inf else f"has a snapshot of {in_words(seconds)} ago"
        yield Finding(rule=rule.name, text=f"{what} to serve known keys by when its store breaks")


def _losses(health: Health, before: Health) -> Iterator[Finding]:
    for where, count in health.lost.items():
        lost = int(count - before.lost.get(where, 0.0))
        if lost > 0:
            rule = RuleName.AUDIT_LOSS if where in _EVIDENCE else RuleName.LOG_LOSS
            text = f"lost {lost} record{'' if lost == 1 else 's'} for the {where}"
            yield Finding(rule=rule, subject=where, text=text, details={"lost": lost})


def _certificates(health: Health, rule: RuleSettings, now: float) -> Iterator[Finding]:
    for (listener, host), ends in health.certificates.items():
        left = ends - now
        if left >= rule["within"]:
            continue
        what = f"has a certificate of the {listener} listener, for {host or 'no host'}, that "
        when = f"expires in {in_words(left)}" if left > 0 else "has expired"
        yield Finding(
            rule=rule.name,
            subject=f"{listener} {host}".strip(),
            text=what + when,
            details={"listener": listener, "host": host, "expires_at": timestamp(ends)},
        )
