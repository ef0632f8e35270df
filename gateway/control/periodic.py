"""Work that is done again and again while the gateway runs, and once more at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

_log = logging.getLogger(__name__)


class Periodic:
    """Calls `action` every `seconds`, which is asked each time, or `soon`, and a last time when stopped.

    A failure is logged and does not end it.
    """

    def __init__(
        self, name: str, seconds: Callable[[], float], action: Callable[[], Awaitable[object]]
    ) -> None:
        self.name = name
        self._seconds = seconds
        self._action = action
        self._wanted = asyncio.Event()
        self._is_stopping = False
        self._is_failing = False

    async def run(self) -> None:
        """Run until `stop`."""
        is_last = False
        while not is_last:
            is_last = await self._pause()
            await self._act()

    async def _pause(self) -> bool:
        """Wait for the next round; tell whether it is the last."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds()):
                await self._wanted.wait()
        self._wanted.clear()
        return self._is_stopping

    def soon(self) -> None:
        """Let the next round begin at once; one that is under way is followed by another."""
        self._wanted.set()

    def stop(self) -> None:
        """Let `run` act once more and return."""
        self._is_stopping = True
        self._wanted.set()

    async def _act(self) -> None:
        try:
            await self._action()
        except Exception as error:  # noqa: BLE001 - logged: the next round may succeed
            if not self._is_failing:
                _log.error("%s failed: %r", self.name, error)
            self._is_failing = True
        else:
            if self._is_failing:
                _log.warning("%s works again", self.name)
            self._is_failing = False
