"""A few connections, opened when they are needed and lent to one borrower at a time.

Knows that one which was left in the middle of something is closed, never lent again. It must not know statements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import asyncpg

from gateway.stores.postgres.access import DRIVER_ERRORS, ended_at

_CLOSE_SECONDS_MAX: Final = 1.0

BROKEN: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    OSError,
)
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
        self._opening = asyncio.Lock()
        self._given_back = asyncio.Event()
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
        async with asyncio.timeout_at(deadline):
            while (lent := self._kept()) is None:
                # One is opened after the other: a server at its limit would refuse all that come at the same time.
                async with self._opening:
                    if (lent := self._kept()) is not None:
                        return lent
                    try:
                        return Lent(await self._connect(), was_kept=False)
                    except asyncpg.TooManyConnectionsError:
                        if not self._lent and not self._idle:
                            raise
                if not self._idle:
                    self._given_back.clear()
                    await self._given_back.wait()
            return lent

    def _kept(self) -> Lent | None:
        """Return a connection that rests, if there is one. Raises `InterfaceError` when all is closed."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return Lent(connection, was_kept=True)
        if self._is_closed:
            raise asyncpg.InterfaceError("the store is closed")
        return None

    def _return(self, connection: asyncpg.Connection) -> None:
        self._given_back.set()
        if connection.is_closed():
            return
        if self._is_closed or connection.is_in_transaction():
            connection.terminate()
        else:
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
    deadline = asyncio.get_running_loop().time() + _CLOSE_SECONDS_MAX
    with suppress(*DRIVER_ERRORS), ended_at(connection, deadline):
        await connection.close()
