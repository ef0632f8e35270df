"""How long requests wait for a database that says nothing: one of them finds it out, the others are told.

Knows that a database which answered nobody while somebody waited in vain is silent; that whoever waits then waits no
longer, and nobody begins to; and that it is asked on, in the background, until it says something. It must not know
statements or connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from gateway.stores.postgres.access import DRIVER_ERRORS

PAUSE_SECONDS: Final = 0.2
"""Between two questions in the background, each of which waits for as long as a request would."""

LATE: Final = (TimeoutError, asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
"""What ends a question that took too long. Any other error is an answer: it came, and the next one may be better."""

T = TypeVar("T")
Question = Callable[[], Awaitable[T]]


class Silence:
    """Whether the database says nothing at the moment, as far as those who asked know."""

    def __init__(self, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._pause_seconds = pause_seconds
        self._answers = 0
        self._waiting: set[asyncio.Timeout] = set()
        self._asking_on: asyncio.Task[None] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it is silent, as far as is known: then it is being asked on."""
        return self._asking_on is not None

    async def heard(self, question: Question[T]) -> T:
        """Return the answer. Raises what `question` raises, and `TimeoutError` as soon as the database is silent.

        `question` ends by itself when it takes too long, and may be asked again without harm.
        """
        if self.is_begun:
            raise TimeoutError
        answers = self._answers
        try:
            async with asyncio.timeout(None) as patience:
                self._waiting.add(patience)
                try:
                    found = await question()
                finally:
                    self._waiting.discard(patience)
        except LATE:
            # Where others were answered meanwhile there is too much to do, or one connection hangs: no silence.
            if self._answers == answers and not self.is_begun:
                self._begin(question)
            raise
        except DRIVER_ERRORS:
            self._answers += 1
            raise
        self._answers += 1
        return found

    def _begin(self, question: Question[Any]) -> None:
        self._asking_on = asyncio.create_task(self._ask_on(question), name="ask a silent database")
        now = asyncio.get_running_loop().time()
        for patience in self._waiting:
            patience.reschedule(now)

    async def _ask_on(self, question: Question[Any]) -> None:
        """Ask until there is an answer, be it an error."""
        try:
            while True:
                await asyncio.sleep(self._pause_seconds)
                with suppress(*LATE):
                    await self._asked(question)
                    return
        finally:
            self._answers += 1
            self._asking_on = None

    async def _asked(self, question: Question[Any]) -> None:
        try:
            await question()
        except LATE:
            raise
        except (*DRIVER_ERRORS, ValueError):
            return  # whoever asks next is told

    async def close(self) -> None:
        """Ask no longer."""
        if self._asking_on is not None:
            self._asking_on.cancel()
            await asyncio.gather(self._asking_on, return_exceptions=True)
