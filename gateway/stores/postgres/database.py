"""One PostgreSQL database: statements, transactions, and what an error of the driver means.

Knows that look-ups of keys, which requests wait for, have connections of their own, so neither a write nor a listing
delays an authentication; that nothing is waited for longer than the port promises; and what may be tried again. It
must not know any table.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg

from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.postgres.access import DRIVER_ERRORS, Access, ended_at, said
from gateway.stores.postgres.connections import BROKEN, Connections, Lent
from gateway.stores.postgres.silence import Silence

ANSWER_SECONDS_MAX: Final = 5.0  # what the port promises

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,  # also when somebody ended the session
    asyncpg.CrashShutdownError,
    OSError,
)
"""A connection that was kept and then ends in such a way may have been dead before it was asked."""

_NAME: Final = re.compile(r"(?<!:):([a-z_][a-z_0-9]*)")
_SPOILED: Final = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
Rows = list[asyncpg.Record]
T = TypeVar("T")


class Database:
    """The connections to one database; up to `connections_max` for look-ups, and as many for everything else."""

    def __init__(
        self,
        access: Access,
        connections_max: int,
        *,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self.access = access
        self._name = f"store {access.address}"
        self._answer_seconds_max = answer_seconds_max
        self._workers = Connections(access.connect, connections_max)
        self._seekers = Connections(access.connect, connections_max)
        self._silence = Silence()
        self._transactions: set[asyncio.Task[Any]] = set()
        # One message. The limits go along, because a pooler hands out sessions that were set up for somebody else.
        limits = (f"SET LOCAL {name} = {value}" for name, value in access.limits.items())
        self._begin = "; ".join(["BEGIN", *limits])

    # ---- statements

    async def ask(self, sql: str, *values: object) -> Rows:
        """Return the rows of one statement: one that reads, or that may be carried out twice without harm."""
        with self._translating("store"):
            return await self._run(self._workers, sql, tuple(map(_readable, values)))

    async def study(self, sql: str, values: Mapping[str, Any]) -> Rows:
        """Return the rows of one statement that reads, in which names stand for `values`."""
        statement, places = _numbered(sql, values)
        return await self.ask(statement, *places)

    async def seek(self, sql: str, *values: object) -> Rows:
        """Return the rows of one statement that a request waits for: while the database is silent it does not wait."""
        with self._translating("store"):
            return await self._silence.heard(partial(self._run, self._seekers, sql, values))

    @property
    def is_silent(self) -> bool:
        """Whether nobody who seeks is let wait, because it says nothing."""
        return self._silence.is_begun

    async def _run(self, pool: Connections, sql: str, values: tuple[object, ...]) -> Rows:
        async def run(connection: asyncpg.Connection) -> Rows:
            if self.access.is_preparing:
                return list(await connection.fetch(sql, *values))
            async with connection.transaction():  # the pooler keeps its messages together
                return list(await connection.fetch(sql, *values))

        deadline = self._deadline()
        with suppress(_DeadBefore):
            async with self._lent(pool, deadline) as lent:
                return await run(lent.connection)
        pool.forsake()
        async with self._lent(pool, deadline, is_last=True) as lent:
            return await run(lent.connection)

    # ---- transactions

    async def transact(
        self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, about: str
    ) -> T:
        """Let `work` write in one transaction: all of it is committed, or nothing.

        A caller that goes away leaves nothing half done: the transaction has a task of its own. `about` names what is
        written, for a `Conflict`.
        """
        task = asyncio.create_task(self._transact(work, about), name=f"writing {about}")
        self._transactions.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._transactions.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told

    async def _transact(self, work: Callable[[asyncpg.Connection], Awaitable[T]], about: str) -> T:
        with self._translating(about):
            deadline = self._deadline()
            with suppress(_DeadBefore):
                async with self._lent(self._workers, deadline) as lent:
                    await lent.connection.execute(self._begin)
                    lent.was_kept = False  # from here on it is not tried again
                    return await _carry_out(lent.connection, work)
            self._workers.forsake()
            async with self._lent(self._workers, deadline, is_last=True) as lent:
                await lent.connection.execute(self._begin)
                return await _carry_out(lent.connection, work)

    # ---- connections

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._answer_seconds_max

    @asynccontextmanager
    async def _lent(
        self, pool: Connections, deadline: float, *, is_last: bool = False
    ) -> AsyncIterator[Lent]:
        """Lend a connection that ends at `deadline`, whatever it waits for then: no server is asked to stop first.

        Raises `_DeadBefore` for one that was kept and turned out to be dead, unless this `is_last`.
        """
        async with pool.lent(deadline) as lent:
            try:
                with ended_at(lent.connection, deadline):
                    yield lent
            except LOST as error:
                if isinstance(error, TimeoutError) or is_last or not lent.was_kept:
                    raise
                raise _DeadBefore from error

    async def close(self) -> None:
        """Wait for the transactions whose callers went away, then close all connections."""
        await self._silence.close()
        await asyncio.gather(*self._transactions, return_exceptions=True)
        await self._workers.close()
        await self._seekers.close()

    # ---- errors

    @contextmanager
    def _translating(self, about: str) -> Iterator[None]:
        """Turn any error of the driver into one of the port's; the text names no value that was to be stored."""
        try:
            yield
        except (*DRIVER_ERRORS, ValueError) as error:
            raise self.translated(error, about) from error

    def translated(self, error: Exception, about: str = "store") -> Exception:
        """Return what an error of the driver is for the port."""
        if isinstance(error, TimeoutError):
            return StoreUnavailable(f"{self._name}: no answer in time")
        if isinstance(error, _SPOILED):
            return Conflict(f"{about}: {_broken_rule(error)}")
        if isinstance(error, asyncpg.LockNotAvailableError):
            return StoreUnavailable(
                f"{self._name}: what is to be written is locked by somebody else"
            )
        if isinstance(error, asyncpg.QueryCanceledError):
            return StoreUnavailable(f"{self._name}: the statement took too long")
        return StoreUnavailable(f"{self._name}: {said(error)}")


class _DeadBefore(OSError):
    """The connection was dead before anything was asked of it."""


async def _carry_out(
    connection: asyncpg.Connection, work: Callable[[asyncpg.Connection], Awaitable[T]]
) -> T:
    """Let `work` write in the transaction that is open, and commit it."""
    try:
        result = await work(connection)
        await connection.execute("COMMIT")
    except Exception as error:
        if not isinstance(error, BROKEN) and not connection.is_closed():
            with suppress(*DRIVER_ERRORS):
                await connection.execute("ROLLBACK")
        raise
    return result


def _numbered(sql: str, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return a statement with numbered places for its names, and the values in the order of the places."""
    places: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        return f"${places.setdefault(found[1], len(places) + 1)}"

    return _NAME.sub(place, sql), [values[name] for name in places]


def _readable(value: object) -> object:
    """Return what may be asked for: no text of the store holds a NUL, so what has one is found nowhere."""
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")
    return value


def _broken_rule(error: Exception) -> str:
    if isinstance(error, asyncpg.UniqueViolationError):
        is_digest = "digest" in (error.constraint_name or "")
        return "another record has the same digest" if is_digest else "exists already"
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return "what it refers to does not exist"
    if isinstance(error, asyncpg.RestrictViolationError):
        return str(error.message)  # one of our own rules, in the words of the schema
    return "holds what the store cannot keep"
