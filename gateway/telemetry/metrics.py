"""The metrics of the gateway: what counts, what is read elsewhere, and how both are exported.

Puts the parts together. One process that counts and exports, a worker that only counts (its rows lie in shared memory),
and a supervisor that exports what all count are the same class: only where the rows lie differs.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable
from typing import Final

from gateway.build import BUILD
from gateway.telemetry.crew import Crew
from gateway.telemetry.readings import Reading, Readings, Watch
from gateway.telemetry.rows import ListRows, Rows
from gateway.telemetry.tally import Tally
from gateway.telemetry.totals import Totals

SERIES_BUDGET: Final = 20_000


class Metrics:
    """Counts requests (`tally` implements `Recorder`); renders all metrics of the process and its workers (`crew`).

    `routes`, `upstreams` and `policies` are the names that may become labels (`declare` replaces them);
    `series_budget` is the most series that accumulate, whatever is requested. `has_process` adds
    the metrics of the processes (memory, CPU, descriptors). `rows` are where another process reads what this counts.
    Raises `ValueError` for a budget too small to hold one series of everything.
    """

    def __init__(
        self,
        *,
        namespace: str = "tollhouse",
        version: str,
        revision: str = "",
        routes: Iterable[str] = (),
        upstreams: Iterable[str] = (),
        policies: Iterable[str] = (),
        series_budget: int = SERIES_BUDGET,
        has_process: bool = True,
        rows: Rows | None = None,
    ) -> None:
        self._namespace = namespace
        self._build = {
            "version": version,
            "python": platform.python_version(),
            "revision": revision,
            "build": BUILD,
        }
        self._has_process = has_process
        self._watch = Watch()
        own = ListRows(series_budget)
        self.crew = Crew(Totals(series_budget), own if rows is None else None, self._watch)
        self.tally = Tally(rows or own, series_budget, self.crew.relieve)
        # Bound once: every request is recorded through this name.
        self.record = self.tally.record
        self.count = self.tally.count
        self.observe = self.tally.observe
        self._render_lock = threading.Lock()
        self.declare(routes=routes, upstreams=upstreams, policies=policies)

    def declare(
        self,
        *,
        routes: Iterable[str] = (),
        upstreams: Iterable[str] = (),
        policies: Iterable[str] = (),
    ) -> None:
        """Allow these names as labels, those of the configuration in force.

        Series of upstreams and policies start at 0. A route's series begin with its first request: there may be
        thousands, and the budget is for those that are used. A name that left keeps its numbers, because it may come
        back, until others need the room.
        """
        names = (tuple(routes), tuple(upstreams), tuple(policies))
        self.tally.declare(*names)
        self.crew.declare(*names)

    def watch(self, name: str, read: Callable[[], Reading]) -> None:
        """Let `read` tell the metric `name` at each scrape (see `Watch.put`)."""
        self._watch.put(name, read)

    def readings(self) -> Readings:
        """Return what this process alone tells of the watched metrics, for the supervisor."""
        return self._watch.read()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type; OpenMetrics if `accept` prefers it.

        May run in any thread; takes milliseconds per thousand series.
        """
        # Brings `prometheus_client`: for who is scraped, which no worker ever is.
        from gateway.telemetry.exposition import Exposition

        with self._render_lock:
            exposition = Exposition(
                self.crew, self._build, namespace=self._namespace, has_process=self._has_process
            )
            return exposition.render(accept)
