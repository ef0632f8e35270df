"""The dashboard of keys: how many, who is refused, which limits bite, how fast a revocation reaches all workers."""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import Board, Row
from deploy.grafana.panels import (
    BAD,
    GOOD,
    INSTANCE,
    JOB,
    PER_SECOND,
    SECONDS,
    SHARE,
    WARNING,
    graph,
    heatmap,
    levels,
    quantiles,
    stat,
    states,
    table,
)
from deploy.grafana.promql import (
    gauge,
    increase,
    or_zero,
    percentiles,
    quantile,
    rate,
    ratio,
    series,
)

_DEAD: Final = (
    'reason=~"malformed_credentials|bad_checksum|unknown_key|key_expired|key_suspended|key_revoked"'
)
_FORBIDDEN: Final = (
    'reason=~"insufficient_scope|ip_not_allowed|env_mismatch|tenant_suspended|cross_tenant'
    '|tenant_required"'
)
_LIMITED: Final = (
    'reason=~"rate_limited|quota_exceeded|concurrency_limited|auth_throttled|limiter_unavailable"'
)
_ACTIVE: Final = 'state="active"'
_WITHIN_A_DAY: Final = 'within="1d"'
_NO_TRAFFIC: Final = "Empty without requests."
_NO_CHANGE: Final = "Empty when no key was changed."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="tollhouse-keys",
        title="Tollhouse / Keys",
        meaning="API keys: how many there are, which requests they do not get through, limits, revocation, the store.",
        variables=(JOB, INSTANCE),
        rows=(_GLANCE, _KEYS, _DUE, _REFUSALS, _LIMITS, _SHADOW, _REVOCATION, _STORE),
    )


_GLANCE: Final = Row(
    title="At a glance",
    panels=(
        stat(
            "Active keys",
            "Keys that are neither suspended nor revoked. Gateways that share a store count once.",
            f"sum(max by (job, state, environment) ({series('keys', _ACTIVE)}))",
            empty="Empty without keys.",
        ),
        stat(
            "Accepted",
            "Share of requests that the gateway let through.",
            ratio(rate("auth_decisions_total", 'reason="accepted"'), rate("auth_decisions_total")),
            empty=_NO_TRAFFIC,
            unit=SHARE,
        ),
        stat(
            "Keys that do not work",
            "Requests per second with a key that is unknown, mistyped, expired, suspended or revoked.",
            rate("auth_decisions_total", _DEAD),
            unit=PER_SECOND,
            colors=levels(GOOD, (0.1, WARNING), (1, BAD)),
        ),
        stat(
            "Revoked keys still used",
            "Requests with a revoked key within the time that is shown.",
            increase("auth_decisions_total", 'reason="key_revoked"', window="$__range"),
            colors=levels(GOOD, (1, WARNING)),
            defaults={"decimals": 0},
        ),
        stat(
            "Limited",
            "Share of requests that a limit refused.",
            ratio(rate("auth_decisions_total", _LIMITED), rate("auth_decisions_total")),
            empty=_NO_TRAFFIC,
            unit=SHARE,
        ),
        stat(
            "Revocation, p99",
            "Time from the commit of a change until no worker serves by what was before.",
            quantile(0.99, "revocation_propagation_seconds", window="$__range"),
            empty=_NO_CHANGE,
            unit=SECONDS,
            colors=levels(GOOD, (0.1, WARNING), (0.5, BAD)),
        ),
    ),
)

_KEYS: Final = Row(
    title="Keys",
    panels=(
        graph(
            "Keys by state",
            "As stored: a key whose time has come is still `active` here, and refused.",
            (
                f"sum by (state) (max by (job, state, environment) ({series('keys')}))",
                "{{state}}",
            ),
            is_stacked=True,
            empty="Empty without keys.",
            width=12,
        ),
        table(
            "Keys by environment",
            "Now.",
            (
                (
                    "Keys",
                    "short",
                    f"sum by (environment, state) (max by (job, state, environment) ({series('keys')}))",
                ),
            ),
            {"environment": "Environment", "state": "State"},
            empty="Empty without keys.",
            width=12,
            height=8,
        ),
    ),
)

_DUE: Final = Row(
    title="What is due",
    panels=(
        stat(
            "Overdue for rotation",
            "Keys that `policies.rotation` wants to have been replaced by now.",
            f"max({series('keys_rotation_overdue')})",
            colors=levels(GOOD, (1, WARNING)),
        ),
        stat(
            "Expiring within a day",
            "Keys in use, or suspended, that expire within 24 hours.",
            f"max({series('keys_expiring', _WITHIN_A_DAY)})",
            colors=levels(GOOD, (1, WARNING)),
        ),
        graph(
            "Expiring",
            "Keys in use, or suspended, that expire within that time.",
            (f"max by (within) ({series('keys_expiring')})", "within {{within}}"),
            height=4,
        ),
        table(
            "The next to expire",
            "Of those that do within 30 days, the 100 that expire first.",
            (
                (
                    "Expires in",
                    SECONDS,
                    f"min by (key_id) ({series('key_expiry_timestamp_seconds')}) - time()",
                ),
            ),
            {"key_id": "Key"},
            empty="Empty when no key expires within 30 days.",
            width=8,
            height=4,
        ),
    ),
)

_SHADOW: Final = Row(
    title="Shadow mode",
    panels=(
        graph(
            "Would be refused, by rule",
            "What rules in shadow mode would have refused: nothing was. `tollhouse report would-block` names keys and "
            "addresses.",
            (
                rate("shadow_denials_total", by=("rule_kind",)),
                "{{rule_kind}}",
            ),
            is_stacked=True,
            unit=PER_SECOND,
            empty="Empty without rules in shadow mode.",
            width=12,
        ),
        graph(
            "Would be refused, by route",
            "The same by route.",
            (
                f"{rate('shadow_denials_total', by=('route',))} > 0",
                "{{route}}",
            ),
            is_stacked=True,
            unit=PER_SECOND,
            empty="Empty when they would have refused nothing.",
            width=12,
        ),
    ),
)

_REFUSALS: Final = Row(
    title="Refusals",
    panels=(
        graph(
            "Not authenticated (401)",
            "Requests without a key, or with one that does not work.",
            (
                rate(
                    "auth_decisions_total",
                    f'{_DEAD[:-1]}|missing_credentials|duplicate_credentials"',
                    by=("reason",),
                ),
                "{{reason}}",
            ),
            is_stacked=True,
            unit=PER_SECOND,
            height=9,
        ),
        graph(
            "Not allowed (403)",
            "Requests with a key that works, for something that it may not do, or from where it may not be used.",
            (rate("auth_decisions_total", _FORBIDDEN, by=("reason",)), "{{reason}}"),
            is_stacked=True,
            unit=PER_SECOND,
            height=9,
        ),
        graph(
            "Limited (429)",
            "Requests beyond a rate, a quota or a number at the same time; `auth_throttled` comes from an address "
            "whose keys keep failing.",
            (rate("auth_decisions_total", _LIMITED, by=("reason",)), "{{reason}}"),
            is_stacked=True,
            unit=PER_SECOND,
            height=9,
        ),
    ),
)

_LIMITS: Final = Row(
    title="Limits",
    panels=(
        graph(
            "Requests by limit",
            "Requests that drew on a limit, by the one that decided: the tightest of all that applied.",
            (rate("ratelimit_decisions_total", by=("policy",)), "{{policy}}"),
            is_stacked=True,
            unit=PER_SECOND,
            empty="Empty without plans.",
        ),
        graph(
            "Denied",
            "Share of a limit's requests that it denied.",
            (
                ratio(
                    rate("ratelimit_decisions_total", 'outcome="denied"', by=("policy",)),
                    rate("ratelimit_decisions_total", by=("policy",)),
                ),
                "{{policy}}",
            ),
            unit=SHARE,
            empty="Empty for limits that nobody drew on.",
        ),
        graph(
            "Limits that were not exact",
            "Buckets that were forgotten before they were full again, since there are too many: their owners may get "
            "more than their limit. And requests whose limits could not be checked.",
            (increase("ratelimit_buckets_forgotten_total"), "buckets forgotten"),
            (
                increase("auth_decisions_total", 'reason="limiter_unavailable"'),
                "limiter unavailable",
            ),
        ),
    ),
)

_REVOCATION: Final = Row(
    title="Changes and revocation",
    panels=(
        quantiles(
            "Propagation",
            "From the commit of a change of a key or tenant until no worker serves by what was before.",
            *percentiles((50, 99), "revocation_propagation_seconds"),
            empty=_NO_CHANGE,
        ),
        heatmap(
            "Propagation, spread",
            "How many changes took how long.",
            increase("revocation_propagation_seconds_bucket", by=("le",)),
        ),
        graph(
            "Changes, and streams that they cut",
            "Changes of keys and tenants; requests under way that were cut since their key, tenant or address lost "
            "what let them in.",
            (increase("revocation_propagation_seconds_count"), "changes"),
            (increase("streams_closed_total", by=("cause",)), "cut: {{cause}}"),
        ),
    ),
)

_STORE: Final = Row(
    title="The key store",
    panels=(
        states(
            "Answers",
            "Whether the last contact with the key store succeeded. While it does not, keys in memory go on working; "
            "others get 503.",
            f"min by (instance) ({series('store_up')})",
            "{{instance}}",
            {"0": ("down", BAD), "1": ("up", GOOD)},
        ),
        graph(
            "Operations",
            "By operation. `find` is a key that was not in memory.",
            (rate("store_operation_duration_seconds_count", by=("op",)), "{{op}}"),
            unit="ops",
        ),
        quantiles(
            "Duration, p95",
            "One operation in twenty takes longer.",
            (quantile(0.95, "store_operation_duration_seconds", by=("op",)), "{{op}}"),
            empty="Empty for operations that were not done.",
        ),
        graph(
            "Refused for want of the store",
            "Requests with a key that was not in memory while the store did not answer.",
            (
                or_zero(rate("auth_decisions_total", 'reason="store_unavailable"')),
                "store_unavailable",
            ),
            unit=PER_SECOND,
            width=12,
        ),
        graph(
            "What a change has to look at",
            "Open connections: a change looks through them for streams to cut.",
            (gauge("connections"), "connections"),
            (gauge("open_streams"), "streams"),
            width=12,
        ),
    ),
)
