"""What the metrics do not count but read from its owner, in this process and in others.

Knows which owner tells what, and how the readings of several processes become one (`Family.merge`). It must not know
how readings travel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from gateway.telemetry.families import FAMILIES, Family, Merge
from gateway.telemetry.series import Labels

WATCHED_MAX: Final = 1_000
"""Label sets that one watched metric may report; its owner draws them from closed sets as well."""

Reading = float | Mapping[Labels, float]
"""What a watched metric's owner returns: a number, or numbers by label values."""

Readings = dict[str, dict[Labels, float]]
"""Numbers of watched families by name and label values: plain values that may be sent to another process."""

EXEMPLARS: Final = Family(
    name="request_duration_seconds exemplars",
    kind="gauge",
    meaning="Durations of traced requests, told with the histogram of requests and never as a metric.",
    labels=("route", "trace_id"),
    is_watched=True,
    merge="max",
)

WATCHED: Final = {family.name: family for family in (*FAMILIES, EXEMPLARS) if family.is_watched}

_MERGE: Final[Mapping[Merge, Callable[[float, float], float]]] = {
    "sum": lambda one, other: one + other,
    "min": min,
    "max": max,
}

_logger = logging.getLogger(__name__)


class Watch:
    """Who tells what in this process."""

    def __init__(self) -> None:
        self._owners: dict[str, Callable[[], Reading]] = {}

    def put(self, name: str, read: Callable[[], Reading]) -> None:
        """Let `read` tell the metric `name`; replaces an earlier reader.

        `read` runs in the thread that renders: it must be quick, must not wait, and must be safe
        beside the event loop (return a number, or a mapping that it does not change afterwards).
        Raises `ValueError` for a name that is not a watched family.
        """
        if name not in WATCHED:
            raise ValueError(f"no watched metric is called {name}: declare it in families.py")
        self._owners[name] = read

    def read(self, only: str = "") -> Readings:
        """Return what all owners tell now, or that of one metric; without those that fail, which are logged."""
        readings: Readings = {}
        for name, read in self._owners.copy().items():
            if only and name != only:
                continue
            try:
                readings[name] = _checked(WATCHED[name], read())
            except Exception:
                # One broken owner must not blind the operator to everything else.
                _logger.exception("the metric %s could not be read", name)
        return readings


def merge(parts: Iterable[Readings]) -> Readings:
    """Return the readings of several processes as one, by the rule of each family."""
    merged: Readings = {}
    for readings in parts:
        for name, values in readings.items():
            family = WATCHED.get(name)
            if family is None:
                continue  # a worker of another version
            combine = _MERGE[family.merge]
            found = merged.setdefault(name, {})
            for labels, value in values.items():
                found[labels] = combine(found[labels], value) if labels in found else value
    return merged


def counters_of(readings: Readings) -> Readings:
    """Return those that must never go back, also when the process that told them has ended."""
    return {
        name: values
        for name, values in readings.items()
        if name in WATCHED and WATCHED[name].kind == "counter"
    }


def _checked(family: Family, reading: Reading) -> dict[Labels, float]:
    values: dict[Labels, float] = {}
    values.update(reading if isinstance(reading, Mapping) else {(): float(reading)})
    for labels in values:
        if len(labels) != len(family.labels):
            raise ValueError(f"{family.name} wants a value for each of {family.labels}")
    return values
