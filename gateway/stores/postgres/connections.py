"""A few connections, opened when they are needed and lent to one borrower at a time.

Knows that one which was left in the middle of something is closed, never lent again. It must not know statements.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

BROKEN: Final = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError, TimeoutError)
"""What says that a connection is not what it was, or may not be."""


@dataclass(slots=True)
class Lent:
    """A connection in the hands of a borrower. `was_kept`: it may have died since it was used last."""

    connection: asyncpg.Connection
    was_kept: bool


class Connections:
    """At most `size_max` connections; the ones used last are lent first, so that the others can rest."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], size_max: int) -> None:
        self._connect = connect
        self._places = asyncio.Semaphore(size_max)
        self._idle: list[asyncpg.Connection] = []
        self._wanted: deque[asyncio.Future[asyncpg.Connection]] = deque()
        self._lent = 0
        self._is_closed = False

    @asynccontextmanager
    async def lent(self, deadline: float) -> AsyncIterator[Lent]:
        """Lend a connection until the block ends. Raises `TimeoutError` when none is free by `deadline` (loop time).

        A block that was interrupted, or in which the connection failed, ends the connection.
        """
        async with asyncio.timeout_at(deadline):
            await self._places.acquire()
        try:
            lent = await self._take(deadline)
            self._lent += 1
            try:
                yield lent
            except BaseException as error:
                if not isinstance(error, Exception) or isinstance(error, BROKEN):
                    lent.connection.terminate()
                raise
            finally:
                self._lent -= 1
                self._return(lent.connection)
        finally:
            self._places.release()

    async def _take(self, deadline: float) -> Lent:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return Lent(connection, was_kept=True)
        if self._is_closed:
            raise asyncpg.InterfaceError("the store is closed")
        try:
            async with asyncio.timeout_at(deadline):
                return Lent(await self._connect(), was_kept=False)
        except asyncpg.TooManyConnectionsError:
            if not self._lent:
                raise
            return await self._share(deadline)

    async def _share(self, deadline: float) -> Lent:
        """Wait for a connection that somebody else gives back: the server has no more for us."""
        wanted: asyncio.Future[asyncpg.Connection] = asyncio.get_running_loop().create_future()
        self._wanted.append(wanted)
        try:
            async with asyncio.timeout_at(deadline):
                return Lent(await wanted, was_kept=True)
        except BaseException:
            if wanted.done() and not wanted.cancelled():
                self._return(wanted.result())
            raise

    def _return(self, connection: asyncpg.Connection) -> None:
        if connection.is_closed():
            return
        if self._is_closed or connection.is_in_transaction():
            connection.terminate()
            return
        while self._wanted:
            wanted = self._wanted.popleft()
            if not wanted.done():
                wanted.set_result(connection)
                return
        self._idle.append(connection)

    def forsake(self) -> None:
        """Close what is not lent: where one connection is dead, those that rest are, too."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def close(self) -> None:
        """Close what is not lent, in good order; what is lent is closed when it comes back."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await _close(connection)


async def _close(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=1.0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()
