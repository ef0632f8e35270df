"""The dashboard of upstreams: who fails, who is slow, which targets get requests."""

from __future__ import annotations

from typing import Final

from deploy.grafana.board import Board, Row, Variable
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
    mean,
    or_zero,
    percentiles,
    quantile,
    rate,
    ratio,
    series,
)

UPSTREAM: Final = Variable(
    name="upstream", title="Upstream", metric='tollhouse_upstream_up{job=~"$job"}'
)
_CHOSEN: Final = 'upstream=~"$upstream"'
_FAILED: Final = 'outcome=~"error|timeout|refused"'
_OPEN: Final = 'state="open"'
_HALF_OPEN: Final = 'state="half_open"'
_ONCE: Final = 'outcome!="retried"'
_NO_TRAFFIC: Final = "Empty without requests."
_NO_BREAKER: Final = "Empty for upstreams without a breaker."
_BY: Final = ("upstream",)
_TARGET: Final = ("upstream", "target")
_UP: Final = {"0": ("down", BAD), "1": ("up", GOOD)}


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid="tollhouse-upstreams",
        title="Tollhouse / Upstreams",
        meaning="The services behind the gateway: requests, failures, time, targets, health checks and breakers.",
        variables=(JOB, INSTANCE, UPSTREAM),
        rows=(_GLANCE, _REQUESTS, _DURATION, _TARGETS, _HEALTH),
    )


_GLANCE: Final = Row(
    title="At a glance",
    panels=(
        stat(
            "Upstreams down",
            "Upstreams without a target that should get requests, or with an open breaker.",
            or_zero(f"count({series('upstream_up', _CHOSEN)} == 0)"),
            colors=levels(GOOD, (1, BAD)),
        ),
        stat(
            "Targets out",
            "Targets that are down or ejected.",
            or_zero(f"count({series('upstream_target_up', _CHOSEN)} == 0)"),
            colors=levels(GOOD, (1, WARNING)),
        ),
        stat(
            "Requests",
            "Requests meant for an upstream, per second.",
            rate("upstream_requests_total", _CHOSEN, _ONCE),
            unit=PER_SECOND,
        ),
        stat(
            "Failed",
            "Share of requests that found the upstream unreachable, silent or broken. A status of 500 that it sends is "
            "an answer.",
            ratio(
                rate("upstream_requests_total", _CHOSEN, _FAILED),
                rate("upstream_requests_total", _CHOSEN, _ONCE),
            ),
            empty=_NO_TRAFFIC,
            unit=SHARE,
            colors=levels(GOOD, (0.01, WARNING), (0.05, BAD)),
        ),
        stat(
            "Duration, p95",
            "One request in twenty takes longer.",
            quantile(0.95, "upstream_request_duration_seconds", _CHOSEN),
            empty=_NO_TRAFFIC,
            unit=SECONDS,
        ),
        stat(
            "Under way",
            "Requests that targets have, or that wait for a connection to one.",
            gauge("upstream_outstanding_requests", _CHOSEN),
        ),
    ),
)

_REQUESTS: Final = Row(
    title="Requests",
    panels=(
        graph(
            "By upstream",
            "Requests meant for each, per second.",
            (rate("upstream_requests_total", _CHOSEN, _ONCE, by=_BY), "{{upstream}}"),
            unit=PER_SECOND,
        ),
        graph(
            "Not answered",
            "By what became of them. `refused`: no connection; `timeout`: silent for too long; `error`: not HTTP, or "
            "cut off; `breaker_open` and `no_target`: not even tried; `cancelled`: the client left, or its stream was "
            "cut.",
            (
                rate(
                    "upstream_requests_total",
                    _CHOSEN,
                    'outcome!~"ok|retried"',
                    by=("upstream", "outcome"),
                ),
                "{{upstream}}: {{outcome}}",
            ),
            is_stacked=True,
            unit=PER_SECOND,
        ),
        graph(
            "Failed, and sent again",
            "Share of requests that failed for good, and attempts that were repeated for each request.",
            (
                ratio(
                    rate("upstream_requests_total", _CHOSEN, _FAILED, by=_BY),
                    rate("upstream_requests_total", _CHOSEN, _ONCE, by=_BY),
                ),
                "{{upstream}}: failed",
            ),
            (
                ratio(
                    rate("upstream_requests_total", _CHOSEN, 'outcome="retried"', by=_BY),
                    rate("upstream_requests_total", _CHOSEN, _ONCE, by=_BY),
                ),
                "{{upstream}}: again",
            ),
            unit=SHARE,
            empty=_NO_TRAFFIC,
        ),
        table(
            "Upstreams",
            "Means over the time that is shown.",
            (
                (
                    "Requests",
                    PER_SECOND,
                    rate("upstream_requests_total", _CHOSEN, _ONCE, by=_BY, window="$__range"),
                ),
                (
                    "Failed",
                    SHARE,
                    ratio(
                        rate(
                            "upstream_requests_total", _CHOSEN, _FAILED, by=_BY, window="$__range"
                        ),
                        rate("upstream_requests_total", _CHOSEN, _ONCE, by=_BY, window="$__range"),
                    ),
                ),
                *(
                    (name, SECONDS, expr)
                    for expr, name in percentiles(
                        (50, 95, 99),
                        "upstream_request_duration_seconds",
                        _CHOSEN,
                        by=_BY,
                        window="$__range",
                    )
                ),
                ("Under way", "short", gauge("upstream_outstanding_requests", _CHOSEN, by=_BY)),
                (
                    "Targets that get requests",
                    "short",
                    f"sum by (upstream) (min by (upstream, target) ({series('upstream_target_up', _CHOSEN)}))",
                ),
            ),
            {"upstream": "Upstream"},
            empty=_NO_TRAFFIC,
        ),
    ),
)

_DURATION: Final = Row(
    title="Duration",
    panels=(
        quantiles(
            "p50 and p99",
            "From the decision to ask the upstream to the last byte of its answer, waiting for a connection included.",
            *percentiles(
                (50, 99),
                "upstream_request_duration_seconds",
                _CHOSEN,
                by=_BY,
                legend="{{upstream}}: ",
            ),
            empty=_NO_TRAFFIC,
        ),
        graph(
            "Mean",
            "Downloads and streams are in it: they last as long as they last.",
            (mean("upstream_request_duration_seconds", _CHOSEN, by=_BY), "{{upstream}}"),
            unit=SECONDS,
            empty=_NO_TRAFFIC,
        ),
        heatmap(
            "Spread",
            "How many requests took how long.",
            rate("upstream_request_duration_seconds_bucket", _CHOSEN, by=("le",)),
            empty=_NO_TRAFFIC,
        ),
    ),
)

_TARGETS: Final = Row(
    title="Targets",
    panels=(
        states(
            "Which get requests",
            "As the gateway sees it that thinks the least of each.",
            f"min by (upstream, target) ({series('upstream_target_up', _CHOSEN)})",
            "{{upstream}}: {{target}}",
            _UP,
            width=12,
        ),
        graph(
            "Requests under way",
            "Requests that each target has, or that wait for a connection to it.",
            (
                gauge("upstream_outstanding_requests", _CHOSEN, by=_TARGET),
                "{{upstream}}: {{target}}",
            ),
            is_stacked=True,
            width=12,
        ),
        graph(
            "Waiting for a connection",
            "Requests that wait since there are `connections_max` connections to a target.",
            (gauge("upstream_waiting_requests", _CHOSEN, by=_TARGET), "{{upstream}}: {{target}}"),
            is_stacked=True,
            width=12,
        ),
        graph(
            "Idle connections",
            "Connections that are ready for a request. None at all under load means that each request makes one.",
            (gauge("upstream_idle_connections", _CHOSEN, by=_TARGET), "{{upstream}}: {{target}}"),
            is_stacked=True,
            width=12,
        ),
    ),
)

_HEALTH: Final = Row(
    title="Health",
    panels=(
        states(
            "Upstreams",
            "Whether an upstream has a target that should get requests, and no open breaker.",
            f"min by (upstream) ({series('upstream_up', _CHOSEN)})",
            "{{upstream}}",
            _UP,
        ),
        states(
            "Breakers",
            "The state of each breaker, where gateways differ the most open one.",
            "max by (upstream) ("
            f"2 * {series('upstream_breaker_state', _CHOSEN, _OPEN)} "
            f"or {series('upstream_breaker_state', _CHOSEN, _HALF_OPEN)}"
            ")",
            "{{upstream}}",
            {"0": ("closed", GOOD), "1": ("half open", WARNING), "2": ("open", BAD)},
            empty=_NO_BREAKER,
        ),
        graph(
            "Ejections",
            "How often targets were taken out for what they did to requests.",
            (increase("upstream_ejections_total", _CHOSEN, by=_BY), "{{upstream}}"),
        ),
        graph(
            "Health checks",
            "Active checks by what came of them; only `ok` is good.",
            (
                rate("upstream_probes_total", _CHOSEN, by=("upstream", "outcome")),
                "{{upstream}}: {{outcome}}",
            ),
            is_stacked=True,
            unit="ops",
            empty="Empty without active checks.",
        ),
        graph(
            "Look-ups of names",
            "After one that `failed` the last good answer stays.",
            (
                rate("upstream_lookups_total", _CHOSEN, by=("upstream", "outcome")),
                "{{upstream}}: {{outcome}}",
            ),
            is_stacked=True,
            unit="ops",
            empty="Empty when all targets are given by address.",
        ),
        graph(
            "Refused without asking",
            "Requests that no target got: all are out, or the breaker is open.",
            (
                rate(
                    "upstream_requests_total",
                    _CHOSEN,
                    'outcome=~"no_target|breaker_open"',
                    by=("upstream", "outcome"),
                ),
                "{{upstream}}: {{outcome}}",
            ),
            is_stacked=True,
            unit=PER_SECOND,
        ),
    ),
)
