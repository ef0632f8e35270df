"""The closed sets that values of labels come from, and which outcome falls under which.

Knows no metric; a value that is in none of these sets, nor a name of the configuration, is in no label.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.denial import Reason
from gateway.domain.outcome import FORWARD_AUTH, UNMATCHED

OTHER: Final = "__other__"
"""Stands for every label set that the series budget, or a closed set of names, has no room for."""

OTHER_METHOD: Final = "OTHER"

RELOAD_RESULTS: Final = ("applied", "refused", "rolled_back")

NAMED_LABELS: Final = ("route", "upstream", "policy")
"""Labels whose values are names of the configuration, in the order of `Metrics.declare`."""

RESERVED_NAMES: Final = frozenset({"", OTHER, UNMATCHED})
"""Values of these labels that are no names."""

ACCEPTED: Final = "accepted"
"""The decision on a request that the gateway did not answer itself with a refusal."""

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}
)
"""The registered methods of RFC 9110 section 9 and RFC 5789; all others count as `OTHER`."""

SOURCES: Final = frozenset({"gateway", "upstream", FORWARD_AUTH})

DECISIONS: Final = (ACCEPTED, *(reason.value for reason in Reason))

LIMIT_OUTCOMES: Final = ("allowed", "denied", "degraded")
SHADOW_DENIED: Final = "shadow_denied"
"""A limit in shadow mode would have refused: counted on top of what the enforced ones decided."""

UPSTREAM_OUTCOMES: Final = (
    "ok",
    "error",
    "timeout",
    "refused",
    "breaker_open",
    "no_target",
    "cancelled",
    "retried",
)
"""What became of a request meant for an upstream; `cancelled` was not the upstream's doing.

`retried` counts attempts that failed and were repeated: they come on top of the requests.
"""

UPSTREAM_OUTCOME_OF_REASON: Final = {
    Reason.UPSTREAM_UNREACHABLE: "refused",
    Reason.UPSTREAM_BAD_RESPONSE: "error",
    Reason.UPSTREAM_TIMEOUT: "timeout",
    Reason.CIRCUIT_OPEN: "breaker_open",
    Reason.NO_HEALTHY_UPSTREAM: "no_target",
}

UPSTREAM_OUTCOME_OF_END: Final = {
    "complete": "ok",
    "upstream_broke": "error",
    "timeout": "timeout",
    "client_gone": "cancelled",
    "cut": "cancelled",
}
