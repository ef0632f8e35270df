"""Lets go of what a reload replaced, once the requests from before it have ended.

Knows how long it waits. It must not know what retires.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import TaskGroup
from collections.abc import Awaitable, Callable
from typing import Final

_log = logging.getLogger(__name__)

_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
_PAUSE_MAX: Final = 1.0


class Retirement:
    """Owns the waiting, in `tasks`; `stop` ends all of it, and then everything is closed at once."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._stopping = asyncio.Event()
        self.waiting = 0

    def retire(
        self,
        name: str,
        is_used: Callable[[], bool],
        close: Callable[[], None],
        seconds: float,
    ) -> None:
        """Call `close` when `is_used` says no, and after `seconds` at the latest."""
        self.waiting += 1
        self._tasks.create_task(self._wait(name, is_used, close, seconds), name=f"retire {name}")

    def finish(self, name: str, work: Awaitable[object]) -> None:
        """Do the last work on something that nobody uses any more."""
        self._tasks.create_task(self._do(name, work), name=f"finish {name}")

    def stop(self) -> None:
        """Wait for nobody any more."""
        self._stopping.set()

    async def _wait(
        self, name: str, is_used: Callable[[], bool], close: Callable[[], None], seconds: float
    ) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._until_unused(is_used)
        except TimeoutError:
            _log.warning(
                "%s is still used %g s after the reload that replaced it: cut", name, seconds
            )
        finally:
            self.waiting -= 1
            close()

    async def _until_unused(self, is_used: Callable[[], bool]) -> None:
        pauses = iter(_PAUSES)
        while is_used() and not self._stopping.is_set():
            try:
                async with asyncio.timeout(next(pauses, _PAUSE_MAX)):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _do(self, name: str, work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - logged: the gateway goes on without it
            _log.error("%s was not finished: %r", name, error)
