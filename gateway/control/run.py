"""Runs until the operating system says stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """SIGTERM and SIGINT stop, a second one kills as usual; SIGUSR1 reopens log files."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reopen: Callable[[], None]) -> None:
        self._loop = loop
        self._stopped = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, reopen)

    def _stop(self) -> None:
        self._stopped.set()
        self._loop.remove_signal_handler(signal.SIGTERM)
        self._loop.remove_signal_handler(signal.SIGINT)

    async def stopped(self) -> None:
        """Return when the process was asked to stop."""
        await self._stopped.wait()
