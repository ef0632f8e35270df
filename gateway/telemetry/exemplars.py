"""Traces to look at for a latency: for each route and bucket of the histogram of requests the latest traced request.

Exported as exemplars where a scrape asks for OpenMetrics. It must not know how, nor who else has some.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from gateway.domain.outcome import Outcome
from gateway.domain.trace_context import Spans
from gateway.telemetry.families import REQUEST_BUCKETS

EXEMPLARS_MAX: Final = 256
"""Of one process; the oldest leave first."""

AGE_SECONDS_MAX: Final = 60.0
"""An older one says nothing about the latency of now."""


class Exemplars:
    """The latest traced requests. `time` is in seconds."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._latest: dict[tuple[str, int], tuple[str, float, float]] = {}

    def record(self, outcome: Outcome, spans: Spans) -> None:
        """Take note of a traced request."""
        latest, seconds = self._latest, outcome.duration
        place = (outcome.route_name, bisect_left(REQUEST_BUCKETS, seconds))
        latest.pop(place, None)  # the order of the table is that of age
        if len(latest) >= EXEMPLARS_MAX:
            del latest[next(iter(latest))]
        latest[place] = (spans.trace_id.decode("ascii"), seconds, self._time())

    def read(self) -> dict[tuple[str, ...], float]:
        """Return durations by route and trace: the reading of `EXEMPLARS`. Safe in another thread."""
        since = self._time() - AGE_SECONDS_MAX
        return {
            (route, trace_id): seconds
            for (route, _), (trace_id, seconds, at) in self._latest.copy().items()
            if at >= since
        }
