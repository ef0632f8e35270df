"""Writes the access log beside the event loop.

Knows that a write may never return: whoever reads our standard output can stop reading. The thread is a daemon of its
own, because the event loop and the interpreter wait at their end for every thread of the default executor.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final, Protocol

PATIENCE_SECONDS: Final = 2.0
"""How long a flush is waited for; three times at the end, which is less than what orchestrators give a process."""


class Lines(Protocol):
    """What is written: `flush` blocks for as long as its sink does."""

    def __len__(self) -> int: ...

    def flush(self) -> None: ...


class Writer:
    """Flushes lines, one flush at a time; a flush that is stuck is not followed by another."""

    def __init__(self, lines: Lines, patience_seconds: float) -> None:
        self._lines = lines
        self._patience_seconds = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[None] | None = None

    async def flush(self) -> None:
        """Write the lines that wait. Raises `TimeoutError` when that takes too long; then it goes on by itself."""
        async with asyncio.timeout(self._patience_seconds):
            if self._running is not None and not self._running.done():
                await asyncio.shield(self._running)
            if len(self._lines):
                self._running = self._start()
                await asyncio.shield(self._running)

    def _start(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._write, args=(done,), name="access log", daemon=True).start()
        return done

    def _write(self, done: asyncio.Future[None]) -> None:
        """Run in the thread."""
        failure: Exception | None = None
        try:
            self._lines.flush()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            failure = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, done, failure)


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
