"""What a slice of load measured, and what may be said of many: medians of pairs, never one figure.

The speed of a shared host moves by tens of percent within seconds, so a slice stands beside its reference, taken
right before it, and only ratios within such a pair are compared. A pair in which others took the cores is set aside.
Pure: it knows no process and no clock.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

FOREIGN_MAX: Final = 0.10
"""A slice is clean when others used at most this share of one core while it ran."""

STOLEN_MAX: Final = 0.03
"""... and when the host took away at most this share."""

ENOUGH: Final = 3
"""Fewer clean pairs than this say less than all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one subject did in a few seconds; times are seconds, shares are of one core."""

    requests_per_second: float
    cpu_per_request: float
    core_share: float
    foreign_share: float
    latency_p50: float
    latency_p99: float
    failures: int
    stolen_share: float = 0.0
    upstream_share: float = 0.0
    load_share: float = 0.0
    late_p99: float = 0.0
    """What the load itself was late by; 0 where it follows the answers."""

    @property
    def is_clean(self) -> bool:
        """Tell whether the slice had the cores to itself, and time to answer anything."""
        has_work = self.requests_per_second > 0
        return has_work and self.foreign_share <= FOREIGN_MAX and self.stolen_share <= STOLEN_MAX


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and the slice of a subject that followed it."""

    reference: Slice
    subject: Slice

    @property
    def is_clean(self) -> bool:
        """Tell whether both slices are clean."""
        return self.reference.is_clean and self.subject.is_clean


Figure = Callable[[Pair], float]


def clean(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Return the pairs nobody disturbed, or all of them when fewer than `ENOUGH` are left."""
    undisturbed = [pair for pair in pairs if pair.is_clean]
    return undisturbed if len(undisturbed) >= ENOUGH else pairs


def median(pairs: Sequence[Pair], figure: Figure) -> float:
    """Return the median of `figure` over the clean pairs."""
    return statistics.median(figure(pair) for pair in clean(pairs))


def spread(pairs: Sequence[Pair], figure: Figure) -> tuple[float, float]:
    """Return the first and third quartile of `figure` over the clean pairs: half of them lie between."""
    figures = sorted(figure(pair) for pair in clean(pairs))
    if len(figures) < 2:
        return figures[0], figures[0]
    low, _, high = statistics.quantiles(figures, n=4, method="inclusive")
    return low, high


def compared(
    subject: Sequence[Pair], other: Sequence[Pair], figure: Callable[[Slice], float]
) -> float:
    """Return the median ratio of two subjects: of how each compares with its own reference, round by round.

    A round has a pair of each; dividing the ratios takes the speed of the host out twice.
    """
    rounds = list(zip(subject, other, strict=True))
    undisturbed = [(a, b) for a, b in rounds if a.is_clean and b.is_clean]
    counted = undisturbed if len(undisturbed) >= ENOUGH else rounds
    return statistics.median(_relative(a, figure) / _relative(b, figure) for a, b in counted)


def disturbance(pairs: Iterable[Pair]) -> str:
    """Return a warning when other processes were at work most of the time, else nothing."""
    shares = [pair.subject.foreign_share for pair in pairs]
    usual = statistics.median(shares) if shares else 0.0
    if usual <= FOREIGN_MAX:
        return ""
    return (
        f"NOT TO BE QUOTED: other processes used {usual:.0%} of a core meanwhile (median); measure again on a quiet "
        "machine"
    )


def throughput(pair: Pair) -> float:
    """Return the requests per second as a share of the reference's."""
    return _relative(pair, lambda part: part.requests_per_second)


def cpu(pair: Pair) -> float:
    """Return the CPU time per request as a multiple of the reference's."""
    return _relative(pair, lambda part: part.cpu_per_request)


def added_p50(pair: Pair) -> float:
    """Return the seconds that the subject adds to the median latency of its reference."""
    return pair.subject.latency_p50 - pair.reference.latency_p50


def added_p99(pair: Pair) -> float:
    """Return the seconds that the subject adds to the 99th percentile of its reference's latency."""
    return pair.subject.latency_p99 - pair.reference.latency_p99


def _relative(pair: Pair, figure: Callable[[Slice], float]) -> float:
    below = figure(pair.reference)
    return figure(pair.subject) / below if below else 0.0
