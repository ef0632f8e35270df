"""Runs until the operating system says stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """SIGTERM and SIGINT stop; a second one of either cuts short what the first began, a third one kills as usual.
    SIGHUP reloads the configuration, SIGUSR1 reopens log files.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        reopen: Callable[[], None],
        reload: Callable[[], None],
        hurry: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._stopped = asyncio.Event()
        self._hurry = hurry
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, reload)
        loop.add_signal_handler(signal.SIGUSR1, reopen)

    def _stop(self) -> None:
        if not self._stopped.is_set():
            self._stopped.set()
            return
        self._hurry()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)

    async def stopped(self) -> None:
        """Return when the process was asked to stop."""
        await self._stopped.wait()
