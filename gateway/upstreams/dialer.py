"""Runs attempts to connect, and ends them when the gateway stops.

Knows tasks. It must not know what is connected to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from gateway.domain.denial import Reason
from gateway.ports import UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection

Turn = asyncio.Future[UpstreamConnection | UpstreamFailure]
"""What somebody who needs a connection waits for. It is never cancelled: there is always an answer."""


class Dial(Protocol):
    """Runs connection attempts; one owner awaits them all when it stops, and then those that were cut short fail."""

    def __call__(
        self, attempt: Coroutine[Any, Any, UpstreamConnection | UpstreamFailure]
    ) -> Turn: ...


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
