"""What watches a gateway in a test: its outcomes, and what it complains about."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from gateway.domain.outcome import Outcome


class Recorded:
    """A recorder that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._more = asyncio.Event()

    def record(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._more.set()

    async def first(self, count: int) -> list[Outcome]:
        """Return the outcomes once there are `count` of them; more are a failure."""
        async with asyncio.timeout(3):
            while len(self.outcomes) < count:
                self._more.clear()
                await self._more.wait()
        assert len(self.outcomes) == count
        return self.outcomes


class Complaints(logging.Handler):
    """Keeps what the gateway or the event loop logs as an error: a test expects none."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(logging.Formatter().format(record))


@contextlib.contextmanager
def complaints_of(loop: asyncio.AbstractEventLoop) -> Iterator[Complaints]:
    """Collect the complaints while the context lasts; there must be none at its end."""
    complaints = Complaints()
    loop.set_exception_handler(lambda _, context: complaints.texts.append(repr(context)))
    logging.getLogger().addHandler(complaints)
    try:
        yield complaints
    finally:
        logging.getLogger().removeHandler(complaints)
    assert not complaints.texts, "\n".join(complaints.texts)
