"""Segments for tests, which are gone when the test is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment, Shape
from gateway.ports import Clock


@contextmanager
def segment(
    buckets_max: int = 1000, workers_max: int = 4, holdings_max: int = 1000
) -> Iterator[Segment]:
    made = Segment.create(
        Shape(
            buckets_max=buckets_max,
            workers_max=workers_max,
            holdings_max=holdings_max,
            has_names=True,
        )
    )
    try:
        yield made
    finally:
        made.close()


@contextmanager
def limiter(clock: Clock, worker: int = 0, **shape: Any) -> Iterator[SharedLimiter]:
    with segment(**shape) as made:
        yield SharedLimiter(made, clock, worker)


@contextmanager
def held_by_nobody_who_runs(held: Segment) -> Iterator[None]:
    """Hold the lock of the first stripe as a stopped worker does; whoever asks gives up."""
    address = (held.mutex(0),)
    held.mutexes.lock(address)
    try:
        yield
    finally:
        held.mutexes.release(address)
