"""Limits in Redis: the parts of it put together, for one process.

Knows what the configuration means for each of them, and says once when Redis goes away and once when it is back. Only
imported where limits are in Redis: the library is optional.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

from gateway.assembly.counting import Elsewhere
from gateway.config import model
from gateway.control.periodic import Periodic
from gateway.limiters.redis import scripts
from gateway.limiters.redis.cluster import Cluster
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.exact import Asked, ExactLimiter
from gateway.limiters.redis.leased import LeasedLimiter
from gateway.limiters.redis.link import Link
from gateway.limiters.redis.outage import Outage, Policy
from gateway.limiters.redis.wire import Wire
from gateway.ports import Clock, Limiter
from gateway.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class RedisLimits:
    """The limiter of one process over Redis; `local` counts while that is away."""

    def __init__(self, config: model.Config, path: Path, clock: Clock, local: Limiter) -> None:
        self._config = config
        self._monotonic = clock.monotonic
        self._away_since: float | None = clock.monotonic()
        self._is_told = False
        section = config.limits
        self._dialer = Dialer(section, path.parent)
        self.wire = Wire(section.prefix)
        self.server = self._cluster() if section.cluster else self._link()
        self._outage = Outage(local, clock, self._policy)
        self.exact = ExactLimiter(
            self.server,
            self.wire,
            scripts.load(),
            self._outage,
            clock,
            node=token_hex(8),
            in_flight_seconds=section.concurrency_timeout,
            is_spread=section.cluster,
        )
        self.leased = LeasedLimiter(self.exact, section.lease) if section.mode == "leased" else None

    @property
    def limiter(self) -> ExactLimiter | LeasedLimiter:
        """What requests are counted by."""
        return self.leased or self.exact

    def _link(self) -> Link:
        return Link(
            self._dialer.dial,
            timeout_seconds=lambda: self._config.limits.timeout,
            retry_seconds=lambda: self._config.limits.retry,
            greet=self._greet,
            changed=self._changed,
        )

    async def _greet(self) -> None:
        await self._greet_one(self.server, self.wire.probe)
        await self._settle()

    async def _greet_one(self, asked: Asked, probe: bytes) -> None:
        await self.exact.prepare(asked, probe)

    async def _settle(self) -> None:
        await self.exact.settle()

    def _cluster(self) -> Cluster:
        return Cluster(
            self._dialer,
            timeout_seconds=lambda: self._config.limits.timeout,
            retry_seconds=lambda: self._config.limits.retry,
            greet=self._greet_one,
            changed=self._changed,
            whole=self._settle,
            probe=self.wire.probe,
        )

    def follow(self, config: model.Config) -> None:
        """Follow a changed configuration, as far as that needs no restart."""
        self._config = config
        self._dialer.follow(config.limits)

    def upkeep(self) -> list[Periodic]:
        """Return the work that is done again and again."""
        section = self._config.limits
        beat = Periodic(
            "holding requests in flight", lambda: section.concurrency_timeout / 3, self.exact.beat
        )
        if self.leased is None:
            return [beat]
        return [beat, Periodic("giving back", lambda: section.lease / 4, self.leased.tend)]

    async def close(self) -> None:
        """Give back what is held or was taken in advance, and let go."""
        await self.limiter.close()
        self.server.stop()

    def _policy(self) -> Policy:
        is_local = self._config.on_failure.limits == "local"
        return Policy(self._config.limits.local_share if is_local else 0.0)

    def _changed(self, why: str) -> None:
        now, place = self._monotonic(), self._dialer.place
        if why:
            if self._away_since is None or not self._is_told:
                self._is_told = True
                self._away_since = now if self._away_since is None else self._away_since
                _log.error("Redis at %s does not count: %s; %s", place, why, self._meanwhile())
        elif self._is_told:
            seconds = now - (self._away_since or now)
            _log.warning("limits are counted in Redis at %s again, after %.1f s", place, seconds)
            self._away_since = None
        else:
            _log.info("limits are counted in Redis at %s", place)
            self._is_told, self._away_since = True, None

    def _meanwhile(self) -> str:
        share = self._policy().share
        if share:
            return f"until it does, this gateway lets in {share:.0%} of each limit by itself"
        return "until it does, requests with a limit are answered 503"


@asynccontextmanager
async def opened(
    elsewhere: Elsewhere, local: Limiter, metrics: Metrics, tasks: asyncio.TaskGroup
) -> AsyncIterator[RedisLimits]:
    """Hold a connection to Redis; its upkeep runs in `tasks`, which must outlive it.

    A Redis that does not answer is no reason not to start.
    """
    limits = RedisLimits(elsewhere.config, elsewhere.path, elsewhere.clock, local)
    metrics.watch("limiter_up", lambda: int(limits.server.is_whole))
    tasks.create_task(limits.server.run(), name="the connection to Redis")
    await limits.server.tried()
    works = limits.upkeep()
    for work in works:
        tasks.create_task(work.run(), name=work.name)
    try:
        yield limits
    finally:
        await limits.close()
        for work in works:
            work.stop()
