"""Hands one outcome to several recorders, and keeps their faults away from the request."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gateway.domain.outcome import Outcome
from gateway.ports import Clock, Recorder
from gateway.telemetry.pace import Pace

_logger = logging.getLogger(__name__)


class Fanout:
    """Implements `Recorder` for all of `recorders` (by name, in their order).

    An exception in one is counted and logged at most once per minute; the others still hear.
    """

    __slots__ = ("_clock", "_faults", "_paces", "_recorders")

    def __init__(self, recorders: Mapping[str, Recorder], clock: Clock) -> None:
        self._clock = clock
        self._recorders = tuple((name, recorder.record) for name, recorder in recorders.items())
        self._faults = dict.fromkeys(recorders, 0)
        self._paces = {name: Pace(clock) for name in recorders}

    def put(self, name: str, recorder: Recorder | None) -> None:
        """Let `recorder` hear from the next outcome on in the place of the one called `name`; None lets nobody."""
        others = tuple(pair for pair in self._recorders if pair[0] != name)
        self._recorders = others if recorder is None else (*others, (name, recorder.record))
        self._faults.setdefault(name, 0)
        self._paces.setdefault(name, Pace(self._clock))

    def record(self, outcome: Outcome) -> None:
        """Tell every recorder (`Recorder`)."""
        for name, record in self._recorders:
            try:
                record(outcome)
            except Exception:
                self._faults[name] += 1
                if self._paces[name].is_due():
                    _logger.exception("the recorder %s failed; its numbers are incomplete", name)

    def faults(self) -> dict[tuple[str, ...], float]:
        """Return the failures so far by recorder: the reading of `recorder_errors_total`."""
        return {(name,): count for name, count in self._faults.items()}
