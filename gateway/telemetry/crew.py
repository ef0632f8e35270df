"""The numbers of several processes as those of one gateway, whoever of them ends, and however.

Knows whose rows and readings there are. It must not know how workers are started, nor how readings travel.

What a supervisor does, with `crew = metrics.crew`:

    segment = Segment.create()             # per worker, inherited by it as `segment.descriptor`
    crew.join(pid, segment)                # it runs: its numbers are part of every scrape from now on
    crew.heard(pid, readings)              # what its `Metrics.readings()` returned, once a second or before a scrape
    crew.leave(pid)                        # it has ended, however: its numbers stay, its gauges go
    crew.tick()                            # once a second: takes what workers have left behind

and what a worker does:

    metrics = Metrics(..., rows=SegmentRows(Segment.attach(descriptor)))
    metrics.readings()                     # plain values, to be sent to the supervisor
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from gateway.telemetry.process import ProcessUse
from gateway.telemetry.readings import Readings, Watch, counters_of, merge
from gateway.telemetry.rows import Reader
from gateway.telemetry.segment import Segment, SegmentReader
from gateway.telemetry.series import Labels, Numbers
from gateway.telemetry.totals import Totals


class Crew:
    """This process and its workers, by process id. Every method may be called in any thread."""

    def __init__(self, totals: Totals, own: Reader | None, watch: Watch) -> None:
        self._totals = totals
        self._own = own  # None where another process reads them
        self._watch = watch
        self._segments: dict[int, SegmentReader] = {}
        self._readings: dict[int, Readings] = {}
        self._retired: Readings = {}  # the counters of workers that ended, as they last told them
        self._use = ProcessUse()
        self._lock = threading.Lock()

    def join(self, pid: int, segment: Segment) -> None:
        """Count what the worker `pid` counts in `segment`, which is closed when it leaves."""
        with self._lock:
            self._segments[pid] = SegmentReader(segment)
            self._use.follow(pid)

    def leave(self, pid: int) -> None:
        """Keep the numbers of a worker that has ended; does nothing when it has left before.

        Call it before the process is reaped if that is possible: then its CPU time is known to the last.
        """
        with self._lock:
            reader = self._segments.pop(pid, None)
            if reader is None:
                return
            self._totals.settle(reader.read())
            reader.close()
            self._retired = merge((self._retired, counters_of(self._readings.pop(pid, {}))))
            self._use.leave(pid)

    def heard(self, pid: int, readings: Readings) -> None:
        """Take what a worker told; a worker that has left is not believed."""
        with self._lock:
            if pid in self._segments:
                self._readings[pid] = readings

    def tick(self) -> None:
        """Take the rows that workers have left behind, so that they have room for new ones."""
        with self._lock:
            for reader in self._segments.values():
                self._totals.settle(reader.take())

    def relieve(self) -> None:
        """Take the rows that this process has left behind, unless a scrape is looking at them."""
        if self._own is not None and self._lock.acquire(blocking=False):
            try:
                self._totals.settle(self._own.take())
            finally:
                self._lock.release()

    def declare(
        self, routes: tuple[str, ...], upstreams: tuple[str, ...], policies: tuple[str, ...]
    ) -> None:
        """Take note of the names of the configuration in force."""
        with self._lock:
            self._totals.declare(routes, upstreams, policies)

    def counted(self) -> Mapping[str, Mapping[Labels, Numbers]]:
        """Return the numbers of each accumulating family per label set."""
        with self._lock:
            rows = [] if self._own is None else self._own.read()
            for reader in self._segments.values():
                rows += reader.read()
            return self._totals.snapshot(rows)

    def read(self) -> Readings:
        """Return the readings of all processes as one."""
        own = self._watch.read()
        with self._lock:
            return merge((self._retired, own, *self._readings.values()))

    def read_one(self, name: str) -> Mapping[Labels, float]:
        """Return the reading of one watched metric, of all processes as one; nothing when nobody tells it."""
        own = self._watch.read(name)
        with self._lock:
            parts = [each for each in self._readings.values() if name in each]
            told = merge((own, *({name: each[name]} for each in parts)))
        return told.get(name, {})

    def used(self) -> Mapping[str, float]:
        """Return what all processes use of the machine, by the name of the metric."""
        with self._lock:
            return self._use.read()

    def count_dropped(self, name: str, amount: int) -> None:
        """Take note of label sets that are not exported."""
        with self._lock:
            self._totals.count_dropped(name, amount)
