"""Nodes that share limits in one Redis, as one process would hold them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from pydantic import SecretStr

from gateway.config.model import Limits
from gateway.domain.limits import Claim, Grant
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.redis import scripts
from gateway.limiters.redis.dial import Dialer
from gateway.limiters.redis.exact import ExactLimiter
from gateway.limiters.redis.leased import LeasedLimiter
from gateway.limiters.redis.link import Link
from gateway.limiters.redis.outage import Outage, Policy
from gateway.limiters.redis.wire import Wire
from gateway.ports import Clock, Limiter
from tests.clock import FakeClock


class Node:
    """One process. `told` are the changes that it would have logged."""

    def __init__(
        self, section: Limits, clock: Clock, *, share: float, has_fake_time: bool, local: Limiter
    ) -> None:
        self.clock = clock
        self.told: list[str] = []
        self.dialer = Dialer(section, Path())
        self.link = Link(
            self.dialer.dial,
            timeout_seconds=lambda: section.timeout,
            retry_seconds=lambda: section.retry,
            greet=self._greet,
            changed=self.told.append,
        )
        self.outage = Outage(local, clock, lambda: Policy(share))
        more: dict[str, Any] = {"time": lambda: time_of(clock)} if has_fake_time else {}
        self.exact = ExactLimiter(
            self.link,
            Wire(section.prefix),
            scripts.load(),
            self.outage,
            clock,
            node=token_hex(8),
            in_flight_seconds=section.concurrency_timeout,
            **more,
        )
        self.leased = LeasedLimiter(self.exact, section.lease)
        self.limiter: ExactLimiter | LeasedLimiter = self.exact
        if section.mode == "leased":
            self.limiter = self.leased

    async def _greet(self) -> None:
        await self.exact.prepare(self.link, self.exact.wire.probe)
        await self.exact.settle()

    async def acquire(self, *claims: Claim) -> Grant:
        grant = self.limiter.acquire(claims)
        return grant if isinstance(grant, Grant) else await grant

    async def draw(self, times: int, *claims: Claim) -> int:
        """Draw one after the other; return how many were admitted."""
        return sum([(await self.acquire(*claims)).refused is None for _ in range(times)])

    async def draw_at_once(self, times: int, *claims: Claim) -> list[Grant]:
        return await asyncio.gather(*(self.acquire(*claims) for _ in range(times)))

    async def comes_back(self) -> None:
        """Wait until Redis counts again."""
        await until(lambda: self.link.is_up)

    async def goes_away(self) -> None:
        """Wait until it is known that Redis does not."""
        await until(lambda: not self.link.is_up)


def time_of(clock: Clock) -> bytes:
    return b"%d" % round(clock.now() * 1_000_000)


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that real servers do in their own time."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a real server sets no event of ours
            await asyncio.sleep(0.005)


@asynccontextmanager
async def node(
    url: str,
    prefix: str,
    clock: Clock,
    *,
    share: float = 0.5,
    local: Limiter | None = None,
    **section: Any,
) -> AsyncIterator[Node]:
    """Hold a node; with a `FakeClock`, Redis goes by it as well."""
    settings: dict[str, Any] = {
        "url": SecretStr(url), "prefix": prefix, "retry": 0.05, "timeout": 5.0, **section
    }  # fmt: skip
    made = Node(
        Limits(**settings),
        clock,
        share=share,
        has_fake_time=isinstance(clock, FakeClock),
        local=local or MemoryLimiter(clock),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.link.run())
        await made.link.tried()
        try:
            yield made
        finally:
            await made.limiter.close()
            made.link.stop()
