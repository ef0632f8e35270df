"""Which numbers an outcome adds to.

Knows how the fields of an outcome become labels from closed sets, and binds each combination once.
It must not know how numbers are kept or exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome
from gateway.telemetry.families import (
    ACCEPTED,
    METHODS,
    OTHER,
    OTHER_METHOD,
    SOURCES,
    UNMATCHED,
    UPSTREAM_OUTCOME_OF_END,
    UPSTREAM_OUTCOME_OF_REASON,
)
from gateway.telemetry.series import Numbers, Series

_LIMITED: Final = frozenset(
    {Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED, Reason.CONCURRENCY_LIMITED}
)
_STATUSES: Final = frozenset({0, *range(100, 600)})


class Names:
    """The names that may become labels. The empty name means that there is none."""

    __slots__ = ("policies", "routes", "upstreams")

    def __init__(self) -> None:
        self.routes = {UNMATCHED}
        self.upstreams = {""}
        self.policies = {""}


class Cell:
    """The numbers that all outcomes of one combination of labels add to."""

    __slots__ = (
        "decisions",
        "durations",
        "limits",
        "request_bytes",
        "requests",
        "response_bytes",
        "upstream_durations",
        "upstream_requests",
    )

    def __init__(
        self,
        *,
        requests: Numbers,
        durations: Numbers,
        decisions: Numbers,
        limits: Numbers,
        upstream_requests: Numbers,
        upstream_durations: Numbers,
        request_bytes: Numbers,
        response_bytes: Numbers,
    ) -> None:
        self.requests = requests
        self.durations = durations
        self.decisions = decisions
        self.limits = limits
        self.upstream_requests = upstream_requests
        self.upstream_durations = upstream_durations
        self.request_bytes = request_bytes
        self.response_bytes = response_bytes


def bind(outcome: Outcome, names: Names, series: Mapping[str, Series]) -> tuple[Cell, bool]:
    """Return the cell of `outcome`, and whether every field was from its closed set as it stands.

    Only a cell of closed fields may be remembered: whoever invents methods would fill the memory.
    Families that do not apply (no upstream, no limit) get numbers that nobody exports.
    """
    route = outcome.route if outcome.route in names.routes else UNMATCHED
    method = outcome.method if outcome.method in METHODS else OTHER_METHOD
    code = str(outcome.status) if outcome.status in _STATUSES else OTHER
    source = outcome.source if outcome.source in SOURCES else OTHER
    upstream = outcome.upstream if outcome.upstream in names.upstreams else OTHER
    policy = outcome.policy if outcome.policy in names.policies else OTHER

    def numbers(family: str, *labels: str) -> Numbers:
        # An empty label means that the family does not apply.
        return series[family].child(labels) if all(labels) else series[family].blank()

    reason = outcome.reason
    cell = Cell(
        requests=numbers("requests_total", route, method, code, source),
        durations=numbers("request_duration_seconds", route),
        decisions=numbers("auth_decisions_total", _decision(outcome)),
        limits=numbers(
            "ratelimit_decisions_total", policy, "denied" if reason in _LIMITED else "allowed"
        ),
        upstream_requests=numbers("upstream_requests_total", upstream, _upstream_outcome(outcome)),
        upstream_durations=numbers("upstream_request_duration_seconds", upstream),
        request_bytes=numbers("request_bytes_total", route),
        response_bytes=numbers("response_bytes_total", route),
    )
    is_closed = (
        (route, method, source, upstream, policy)
        == (outcome.route, outcome.method, outcome.source, outcome.upstream, outcome.policy)
        and code != OTHER
        and outcome.ended in UPSTREAM_OUTCOME_OF_END
    )
    return cell, is_closed


def _decision(outcome: Outcome) -> str:
    """Say what was decided; nothing when the client left before it got an answer."""
    if outcome.reason is not None:
        return outcome.reason.value
    return ACCEPTED if outcome.status else ""


def _upstream_outcome(outcome: Outcome) -> str:
    """Say what became of the request upstream.

    A reason that is not about the upstream (the client's body was too large, the gateway shut down)
    ended the exchange from our side.
    """
    if outcome.reason is None:
        return UPSTREAM_OUTCOME_OF_END.get(outcome.ended, "error")
    return UPSTREAM_OUTCOME_OF_REASON.get(outcome.reason, "cancelled")
