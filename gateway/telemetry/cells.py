"""Which row an outcome adds to.

Knows how the fields of an outcome become labels from closed sets. It must not know how numbers are kept or exported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.outcome import UNMATCHED, Outcome
from gateway.telemetry.label_values import (
    ACCEPTED,
    METHODS,
    OTHER,
    OTHER_METHOD,
    UPSTREAM_OUTCOME_OF_END,
    UPSTREAM_OUTCOME_OF_REASON,
)
from gateway.telemetry.rows import REQUESTS, Definition

_LIMITED: Final = (Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED, Reason.CONCURRENCY_LIMITED)
_STATUSES: Final = frozenset({0, *range(100, 600)})


class Names:
    """The names that may become labels: those of the configuration, and of earlier ones until `forget`."""

    __slots__ = ("_declared", "policies", "routes", "upstreams")

    def __init__(self) -> None:
        self._declared: tuple[frozenset[str], ...] = ()
        self.forget()

    def declare(
        self, routes: Iterable[str], upstreams: Iterable[str], policies: Iterable[str]
    ) -> None:
        """Allow these names, those of the configuration in force; what began before it still counts under its own."""
        self._declared = tuple(map(frozenset, (routes, upstreams, policies)))
        self.routes |= self._declared[0]
        self.upstreams |= self._declared[1]
        self.policies |= self._declared[2]

    def forget(self) -> None:
        """Allow only the names of the configuration in force."""
        routes, upstreams, policies = self._declared or (frozenset[str](),) * 3
        # The empty name means that there is none.
        self.routes = {UNMATCHED, *routes}
        self.upstreams = {"", *upstreams}
        self.policies = {"", *policies}

    def __len__(self) -> int:
        """Return how many names are allowed."""
        return len(self.routes) + len(self.upstreams) + len(self.policies)


def describe(outcome: Outcome, names: Names) -> tuple[Definition, bool]:
    """Return the definition of the row of `outcome`, and whether every field was from its closed set as it stands.

    Only a row of closed fields may be remembered by them: whoever invents methods would fill the memory.
    """
    named, method = outcome.route_name, outcome.head.method
    route = named if named in names.routes else UNMATCHED
    folded = method if method in METHODS else OTHER_METHOD
    code = str(outcome.status) if outcome.status in _STATUSES else OTHER
    upstream = outcome.upstream if outcome.upstream in names.upstreams else OTHER
    policy = outcome.policy if outcome.policy in names.policies else OTHER
    definition = (
        *(REQUESTS, route, folded, code, outcome.source, _decision(outcome)),
        *(policy, _limit_outcome(outcome)),
        *(upstream, _upstream_outcome(outcome)),
    )
    is_closed = (
        (route, folded, upstream, policy) == (named, method, outcome.upstream, outcome.policy)
        and code != OTHER
        and outcome.ended in UPSTREAM_OUTCOME_OF_END
    )
    return definition, is_closed


def _decision(outcome: Outcome) -> str:
    """Say what was decided; nothing when the client left before it got an answer."""
    if outcome.reason is not None:
        return outcome.reason.value
    return ACCEPTED if outcome.status else ""


def _limit_outcome(outcome: Outcome) -> str:
    if outcome.reason in _LIMITED:
        return "denied"
    return "degraded" if outcome.grant is not None and outcome.grant.is_degraded else "allowed"


def _upstream_outcome(outcome: Outcome) -> str:
    """Say what became of the request upstream.

    A reason that is not about the upstream (the client's body was too large, the gateway shut down)
    ended the exchange from our side.
    """
    if outcome.reason is None:
        return UPSTREAM_OUTCOME_OF_END.get(outcome.ended, "error")
    return UPSTREAM_OUTCOME_OF_REASON.get(outcome.reason, "cancelled")
