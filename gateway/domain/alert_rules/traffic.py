"""What the usage of a key tells: limits, volume, errors, failed authentication, browsers, environments, hours.

Knows rows of usage summed up over the window that a rule looks at. It must not know which window that is, nor the names
of keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Alert, Finding
from gateway.domain.business_hours import BusinessHours
from gateway.domain.denial import Reason
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.usage import UsageRow

KEY_FAILURES: Final = (
    *(Reason.KEY_EXPIRED, Reason.KEY_SUSPENDED, Reason.KEY_REVOKED),
    Reason.AUTH_THROTTLED,
)
"""Failed authentications with a key that is known."""

UNKNOWN_FAILURES: Final = (
    *(Reason.UNKNOWN_KEY, Reason.BAD_CHECKSUM, Reason.MALFORMED_CREDENTIALS),
    Reason.AUTH_THROTTLED,
)
"""Failed authentications with what is no key of ours. Requests without any credential are none."""

_HELD: Final = {
    Reason.KEY_REVOKED: ("revoked", "was used after it was revoked"),
    Reason.KEY_SUSPENDED: ("suspended", "was used while it was suspended"),
}
"""The state in which a key was refused, and a sentence that stays true when it has left that state."""

_WORKING: Final = frozenset({KeyState.ACTIVE, KeyState.ROTATING})
_ENDS: Final[Mapping[str, str]] = {
    "denied": "were refused by the gateway",
    "failed": "got no proper answer from their upstream",
    "upstream": "were answered with an error by their upstream",
}


class Baseline(NamedTuple):
    """What is usual: the most requests in an hour of the past days; 0 when none were made.

    `known_since` is since when that would be known (epoch seconds).
    """

    busiest_hour: int
    known_since: float


def approaching_limit(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a rate and a quota of which most is used: HP-28."""
    measures = row.measures
    for subject, used, least in (
        ("rate", measures.limit_used_max, rule["rate_used"]),
        ("quota", measures.quota_used_max, rule["quota_used"]),
    ):
        if used > 0 and used >= least:
            text = f"has used {used:.0%} of a {subject}{'' if subject == 'quota' else ' limit'}"
            yield _of_key(rule.name, row, subject, text, {"used": round(used, 4)})


def unusual_volume(
    row: UsageRow, rule: RuleSettings, baseline: Baseline, now: float
) -> Iterator[Finding]:
    """Find a key that is used much more in an hour than in the busiest of the past days: IV-24."""
    requests, busiest = row.measures.requests, baseline.busiest_hour
    if requests < rule["requests_min"] or requests <= busiest * rule["factor"]:
        return
    if now - baseline.known_since >= rule["history_min"]:
        text = f"made {requests} requests within an hour; {busiest} was the most in an hour before"
        yield _of_key(rule.name, row, "", text, {"requests": requests, "busiest_hour": busiest})


def high_error_rate(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a key whose requests fail, by who failed them: IV-24.

    Requests that were refused because the key has ended do not count: other rules tell of those.
    """
    measures = row.measures
    ended = failures(row, KEY_FAILURES)
    requests = measures.requests - ended
    if requests < rule["requests_min"]:
        return
    counts = {
        "denied": measures.denied - ended,
        "failed": measures.failed,
        "upstream": measures.upstream_4xx + measures.upstream_5xx,
    }
    for subject, count in counts.items():
        ratio = count / requests
        if count and ratio >= rule[f"{subject}_ratio"]:
            text = f"has {ratio:.0%} errors: {count} of {requests} requests {_ENDS[subject]}"
            details = {"errors": count, "requests": requests, "ratio": round(ratio, 4)}
            yield _of_key(rule.name, row, subject, text, details)


def client_side(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a key that is used in a browser: HP-19."""
    count = row.measures.from_browser
    if count >= rule["requests_min"]:
        text = f"is used from a browser, where everybody can read it ({_counted(count)})"
        yield _of_key(rule.name, row, "", text, {"requests": count})


def auth_failures_of_key(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a key with which authentication keeps failing: HP-28."""
    count = failures(row, KEY_FAILURES)
    if count >= rule["per_key"]:
        text = f"failed to authenticate {_times(count)}"
        yield _of_key(rule.name, row, "", text, {"failures": count})


def auth_failures_of_tenant(
    tenant_id: str, rows: Iterable[UsageRow], rule: RuleSettings
) -> Iterator[Finding]:
    """Find a tenant with whose keys authentication keeps failing."""
    counts = [failures(row, KEY_FAILURES) for row in rows]
    total, keys = sum(counts), sum(count > 0 for count in counts)
    if total >= rule["per_tenant"]:
        text = (
            f"has {keys} key{'' if keys == 1 else 's'} that failed to authenticate {_times(total)}"
        )
        details = {"failures": total, "keys": keys}
        yield Finding(rule=rule.name, tenant_id=tenant_id, text=text, details=details)


def auth_failures_of_networks(
    failed: Mapping[str, int], rule: RuleSettings, unplaced: int = 0
) -> Iterator[Finding]:
    """Find networks that keep trying credentials that are no keys; `unplaced` are those of which the network is not
    known.
    """
    for network, count in failed.items():
        if count >= rule["per_network"]:
            text = f"was tried with unknown credentials {_times(count)} from {network}"
            details = {"failures": count, "network": network}
            yield Finding(rule=rule.name, subject=network, text=text, details=details)
    if unplaced >= rule["per_network"]:
        text = f"was tried with unknown credentials {_times(unplaced)}"
        details = {"failures": unplaced}
        yield Finding(rule=rule.name, subject="unknown credentials", text=text, details=details)


def still_used(
    row: UsageRow, rule: RuleSettings, networks: Sequence[str] = ()
) -> Iterator[Finding]:
    """Find a revoked or suspended key that somebody still holds, and uses from `networks`: JH-11, or a leak that was
    real.
    """
    for reason, (state, sentence) in _HELD.items():
        count = row.measures.reasons.get(reason.value, 0)
        if count >= rule["requests_min"]:
            whence = f", from {', '.join(networks)}" if networks else ""
            text = f"{sentence} ({_counted(count)}{whence})"
            details = {"requests": count, "state": state, "networks": [*networks]}
            yield _of_key(rule.name, row, state, text, details)


def is_held(row: UsageRow) -> bool:
    """Say whether somebody used a revoked or suspended key."""
    return any(reason.value in row.measures.reasons for reason in _HELD)


def is_past(told: Finding | Alert, record: KeyRecord | None, now: float) -> bool:
    """Tell whether this is about a suspension that is over at `now`: the key works again."""
    was_suspended = told.rule == RuleName.REVOKED_USED and told.subject == KeyState.SUSPENDED
    return was_suspended and record is not None and record.state_at(now) in _WORKING


def unexpected_environment(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a key that was refused where another environment is wanted: JH-27."""
    count = row.measures.reasons.get(Reason.ENV_MISMATCH.value, 0)
    if count >= rule["requests_min"]:
        text = f"was refused where another environment is wanted ({_counted(count)})"
        yield _of_key(rule.name, row, "", text, {"requests": count})


def refused_address(row: UsageRow, rule: RuleSettings) -> Iterator[Finding]:
    """Find a key that was refused because of where it came from."""
    count = row.measures.reasons.get(Reason.IP_NOT_ALLOWED.value, 0)
    if count >= rule["refused_min"]:
        text = f"was refused because of its address ({_counted(count)})"
        yield _of_key(rule.name, row, "refused", text, {"requests": count})


def after_hours(
    rows: Iterable[UsageRow], hours: BusinessHours, rule: RuleSettings
) -> Iterator[Finding]:
    """Find use outside business hours in rows of one key, each of one minute: IV-24.

    What was refused is no use: whoever was kept out did nothing.
    """
    late = [row for row in rows if row.start is not None and not hours.is_open(row.start)]
    count = sum(row.measures.requests - row.measures.denied for row in late)
    if count >= rule["requests_min"]:
        text = f"is used outside business hours ({_counted(count)})"
        yield _of_key(rule.name, late[0], "", text, {"requests": count})


def failures(row: UsageRow, reasons: Iterable[Reason]) -> int:
    """Return how many requests of a row were refused for one of `reasons`."""
    return sum(row.measures.reasons.get(reason.value, 0) for reason in reasons)


def _of_key(
    name: RuleName, row: UsageRow, subject: str, text: str, details: Mapping[str, Any]
) -> Finding:
    return Finding(
        rule=name,
        tenant_id=row.owner_id or "",
        key_id=row.key_id or "",
        subject=subject,
        text=text,
        details=details,
    )


def _counted(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
