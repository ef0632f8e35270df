"""A named upstream service: its targets, and which of them serves the next request.

Knows balancing over targets. It must not know what is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from gateway.domain.denial import Reason
from gateway.ports import UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.target import Dial, Target, Turn


class Service:
    """Implements `ports.Upstream`: round robin over its targets, the next one when a connection cannot be made."""

    def __init__(
        self, name: str, targets: Sequence[Target], *, dial: Dial, host: bytes, base_path: bytes
    ) -> None:
        """Take at least one target. `host` is the `Host` value to send; empty preserves the client's."""
        self.name = name
        self.base_path = base_path
        self._dial = dial
        self._host = host
        self.targets = tuple(targets)
        self._turn = 0

    def host_for(self, authority: bytes) -> bytes:
        """Return the `Host` value to send for a request that came with `authority`."""
        return self._host or authority

    def connect(self, *, fresh: bool = False) -> UpstreamConnection | UpstreamFailure | Turn:
        """Return an idle connection at once, or the future of a new one."""
        target = self._next_target()
        if not fresh:
            idle = target.take_idle()
            if idle is not None:
                return idle
        if len(self.targets) == 1:
            return target.connect()
        return self._dial(self._connect_any(self._turn, fresh=fresh))

    def _next_target(self) -> Target:
        self._turn = turn = (self._turn + 1) % len(self.targets)
        return self.targets[turn]

    async def _connect_any(
        self, first: int, *, fresh: bool
    ) -> UpstreamConnection | UpstreamFailure:
        """Try every target once, beginning with the `first`: nothing was sent, so another may be asked."""
        failure: UpstreamFailure | None = None
        for target in self.targets[first:] + self.targets[:first]:
            result: UpstreamConnection | UpstreamFailure | None = None
            if failure is not None and not fresh:
                result = target.take_idle()
            if result is None:
                # Whoever stops us must not cancel the turn: the target still means to serve it.
                result = await asyncio.shield(target.connect())
            if isinstance(result, UpstreamConnection):
                return result
            failure = result
        assert failure is not None
        return failure

    def close(self) -> None:
        """Close every connection."""
        for target in self.targets:
            target.close()


class Dialer:
    """Owns the tasks that make connections."""

    def __init__(self) -> None:
        self._attempts: set[asyncio.Task[UpstreamConnection | UpstreamFailure]] = set()

    def __call__(self, attempt: Coroutine[Any, Any, UpstreamConnection | UpstreamFailure]) -> Turn:
        """Run `attempt` and keep it until it ends. What is returned fails, but is not cancelled, when we stop."""
        loop = asyncio.get_running_loop()
        task, turn = loop.create_task(attempt), loop.create_future()
        self._attempts.add(task)
        task.add_done_callback(partial(self._ended, turn))
        return turn

    def _ended(self, turn: Turn, task: asyncio.Task[UpstreamConnection | UpstreamFailure]) -> None:
        self._attempts.discard(task)
        if task.cancelled():
            turn.set_result(
                UpstreamFailure(Reason.SHUTTING_DOWN, "no new connections", is_unsent=True)
            )
        elif (error := task.exception()) is not None:
            turn.set_exception(error)
        else:
            turn.set_result(task.result())

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        while self._attempts:
            for task in self._attempts:
                task.cancel()
            await asyncio.gather(*self._attempts, return_exceptions=True)
