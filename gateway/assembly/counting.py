"""What counts requests, failures and connections against their limits: in one process, or exactly over several.

Knows which memory each kind of count has, what becomes of the counts of a worker that died, and that limits may be in a
Redis: failures and connections never are, because what a client does to one gateway concerns no other. It must not know
a claim, nor how a worker is started.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.assembly.errors import CannotStart
from gateway.config import model
from gateway.domain.limits import Claim, Grant
from gateway.limiters.headcount import MemoryHeadcount
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.shared.headcount import SharedHeadcount
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.mutexes import SharingUnavailable
from gateway.limiters.shared.onlooker import Onlooker
from gateway.limiters.shared.segment import Segment, Shape
from gateway.limiters.shared.supervision import Supervision
from gateway.limiters.shared.throttle import SharedThrottle
from gateway.limiters.throttle import AddressThrottle
from gateway.ports import Clock, Headcount, Limiter
from gateway.telemetry.metrics import Metrics

LIMITS: Final = "limits"
FAILURES: Final = "failures"
CONNECTIONS: Final = "connections"
METRICS: Final = "metrics"
"""Names of segments of shared memory."""

_BUCKETS_MAX: Final = 500_000
"""As many as one process keeps; what nobody touches takes no memory."""

_HOLDINGS_PER_CONNECTION: Final = 4
"""A connection has one request in flight, which rarely holds more than one concurrency limit per owner."""

_HOLDINGS_MIN: Final = 65_536


@dataclass(frozen=True, slots=True)
class Counting:
    """What a data plane counts with. `follow` is told of a changed configuration."""

    limiter: Limiter
    throttle: AddressThrottle | SharedThrottle
    headcount: Headcount
    follow: Callable[[model.Config], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where else limits may be counted: what `config`, in the file at `path`, says."""

    config: model.Config
    path: Path
    clock: Clock

    @property
    def is_wanted(self) -> bool:
        """Tell whether limits are counted elsewhere."""
        return bool(self.config.limits.url.get_secret_value())

    @asynccontextmanager
    async def opened(
        self, here: Counting, metrics: Metrics, tasks: asyncio.TaskGroup
    ) -> AsyncIterator[Counting]:
        """Hold what counts: `here`, or a Redis, which `here` stands in for while it is away. Raises `CannotStart`."""
        if not self.is_wanted:
            yield here
            return
        try:
            from gateway.assembly import redis_limits
        except ImportError as error:
            raise CannotStart(
                f"limits.url needs a library ({error}): pip install 'tollhouse[redis]'"
            ) from error
        async with redis_limits.opened(self, here.limiter, metrics, tasks) as limits:
            yield replace(here, limiter=limits.limiter, follow=limits.follow)


class Unseen:
    """Implements `ports.Limiter` for who only looks, where limits are in Redis: nobody can tell without waiting."""

    def acquire(self, _: Sequence[Claim]) -> Grant:
        """Refuse to be used: whoever counts asks Redis."""
        raise RuntimeError("only looked at")

    def look(self, _: Sequence[Claim]) -> None:
        """Tell nothing."""

    def release(self, grant: Grant) -> None:
        """Do nothing: nothing was drawn."""


def throttle_settings(config: model.Config) -> tuple[int, float, int]:
    """Return how many failures are allowed, in how many seconds, and how many addresses are remembered."""
    section = config.authentication.throttle
    return section.failures, max(1, round(section.per)), section.addresses_max


def alone(config: model.Config, clock: Clock, limiter: MemoryLimiter) -> Counting:
    """Return what a gateway with one process counts with."""
    throttle = AddressThrottle(clock, *throttle_settings(config))
    return Counting(limiter, throttle, MemoryHeadcount())


def attached(
    config: model.Config, clock: Clock, segments: Mapping[str, int], seat: int
) -> Counting:
    """Return what a worker counts with: the memory that it inherited, as number `seat` of all who hold something.

    Raises `CannotStart`.
    """
    failures, per_seconds, _ = throttle_settings(config)
    try:
        return Counting(
            SharedLimiter(Segment.attach(segments[LIMITS]), clock, seat),
            SharedThrottle(Segment.attach(segments[FAILURES]), clock, failures, per_seconds),
            SharedHeadcount(SharedLimiter(Segment.attach(segments[CONNECTIONS]), clock, seat)),
        )
    except SharingUnavailable as error:
        raise CannotStart(str(error)) from error


class SharedCounts:
    """The memory that workers count in, as their supervisor holds it: for `seats` workers at a time.

    A worker has a seat until what it held is given back. Raises `CannotStart` when the system cannot share.
    """

    def __init__(self, config: model.Config, seats: int) -> None:
        connections = config.listeners.public.connections_max
        holdings = max(_HOLDINGS_MIN, connections * _HOLDINGS_PER_CONNECTION)
        addresses = throttle_settings(config)[2]
        try:
            self._segments = {
                LIMITS: Segment.create(
                    Shape(
                        buckets_max=_BUCKETS_MAX,
                        workers_max=seats,
                        holdings_max=holdings,
                        has_names=True,  # quotas are written to the store by name
                    )
                ),
                FAILURES: Segment.create(Shape(buckets_max=addresses)),
                CONNECTIONS: Segment.create(
                    Shape(buckets_max=holdings, workers_max=seats, holdings_max=holdings)
                ),
            }
        except SharingUnavailable as error:
            raise CannotStart(str(error)) from error
        self.limits = Supervision(self._segments[LIMITS])
        self._connections = Supervision(self._segments[CONNECTIONS])
        self._free = list(range(seats))
        self._estates: set[int] = (
            set()
        )  # seats of the dead whose holdings are not yet all given back

    @property
    def descriptors(self) -> dict[str, int]:
        """What a worker inherits, by what it holds."""
        return {name: segment.descriptor for name, segment in self._segments.items()}

    def looked_at(self, config: model.Config, clock: Clock) -> tuple[Limiter, SharedThrottle]:
        """Return what tells how the workers' buckets and failures stand, without drawing or counting."""
        failures, per_seconds, _ = throttle_settings(config)
        is_elsewhere = bool(config.limits.url.get_secret_value())
        return (
            Unseen() if is_elsewhere else Onlooker(self._segments[LIMITS], clock),
            SharedThrottle(self._segments[FAILURES], clock, failures, per_seconds),
        )

    def take_seat(self) -> int:
        """Return a seat that nobody has. Raises `LookupError` while all are taken."""
        self.settle()
        if not self._free:
            raise LookupError("every seat of the shared limits is taken")
        return self._free.pop(0)

    def leave_seat(self, seat: int) -> None:
        """Give back what the worker on `seat` held; its process has ended."""
        self._estates.add(seat)
        self.settle()

    def settle(self) -> None:
        """Give back what could not be given back before, because somebody had stopped with a lock."""
        for seat in sorted(self._estates):
            # Both, whatever comes of the first.
            are_settled = [each.release_all(seat) for each in (self.limits, self._connections)]
            if all(are_settled):
                self._estates.discard(seat)
                self._free.append(seat)

    def close(self) -> None:
        """Let go of the memory; workers that live on keep it."""
        for segment in self._segments.values():
            segment.close()
