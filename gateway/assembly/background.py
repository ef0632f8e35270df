"""Work that goes on beside requests: who owns it, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from gateway.control.periodic import Periodic


async def last_time(running: Mapping[Periodic, asyncio.Task[None]]) -> None:
    """Let all be done once more, and wait for that: what it reads is closed next.

    At the same time: a store that does not answer is waited for once.
    """
    for work in running:
        work.stop()
    await asyncio.wait(running.values())


@asynccontextmanager
async def background() -> AsyncIterator[asyncio.TaskGroup]:
    """Own the work that goes on beside requests. What fails elsewhere passes as it is: a group would wrap it."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below, when the work has ended
            failure = error
    if failure is not None:
        raise failure
