"""One open SQLite file: its connections, its transactions, and what an error of the driver means.

Knows that writing has a connection of its own, and so has the look-up of keys that requests wait for, so neither a
write nor a listing delays an authentication. It must not know any table.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from errno import ENOENT
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiosqlite

from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.migrations import SchemaError, prepare
from gateway.stores.sqlite_guard import Guard
from gateway.stores.sqlite_lock import InUse, shared

ANSWER_SECONDS_MAX: Final = 5.0  # what the port promises
BUSY_MILLISECONDS_MAX: Final = 4_000  # shorter, so that a locked file is named as the cause

_DRIVER_ERRORS: Final = (sqlite3.Error, TimeoutError, OSError, ValueError)  # the last: it is closed

_SETTINGS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS_MAX}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",  # in WAL mode NORMAL may lose acknowledged writes with the power
    "PRAGMA temp_store = MEMORY",
)

_READING: Final = (*_SETTINGS, "PRAGMA query_only = ON")

Values = Mapping[str, Any] | Sequence[Any]
T = TypeVar("T")


class SqliteFile:
    """The connections to the file at `path`. Made by `opened`."""

    def __init__(
        self,
        path: Path,
        *,
        writer: aiosqlite.Connection,
        reader: aiosqlite.Connection,
        seeker: aiosqlite.Connection,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._seeker = seeker
        self._answer_seconds_max = answer_seconds_max
        self._guard = Guard(path)
        self._writing = asyncio.Lock()
        self._transactions: set[asyncio.Task[Any]] = set()

    async def ask(self, sql: str, values: Values = ()) -> list[Any]:
        """Return the rows of one statement that reads."""
        return await self._run(self._reader, sql, values, "store")

    async def seek(self, sql: str, values: Values = ()) -> list[Any]:
        """Return the rows of one statement that a request waits for."""
        return await self._run(self._seeker, sql, values, "store")

    async def study(self, sql: str, values: Values = ()) -> list[Any]:
        """Return the rows of one statement that may have much to read; when it takes too long it is stopped."""
        try:
            return await self.ask(sql, values)
        except StoreUnavailable:
            with suppress(ValueError):  # the connection is closed
                await self._reader.interrupt()
            raise

    async def write(self, sql: str, values: Values = ()) -> list[Any]:
        """Run one statement that writes: a transaction by itself."""
        async with self._writing:
            with self._translating("store"):
                await asyncio.to_thread(self._guard.require)
            return await self._run(self._writer, sql, values, "store")

    async def read(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Let `work` read."""
        with self._translating("store"):
            async with asyncio.timeout(self._answer_seconds_max):
                return await work(self._reader)

    async def transact(
        self, work: Callable[[aiosqlite.Connection], Awaitable[T]], *, about: str
    ) -> T:
        """Let `work` write in one transaction: all of it is committed, or nothing.

        A caller that goes away leaves nothing half done: the transaction has a task of its own. `about` names what is
        written, for a `Conflict`.
        """
        task = asyncio.create_task(self._transact(work, about), name=f"writing {about}")
        self._transactions.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _translating(self, about: str) -> _Translation:
        return _Translation(about, self._path, self._guard)

    async def settle(self) -> None:
        """Wait for the transactions whose callers went away."""
        await asyncio.gather(*self._transactions, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._transactions.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told

    async def _transact(
        self, work: Callable[[aiosqlite.Connection], Awaitable[T]], about: str
    ) -> T:
        connection = self._writer
        with self._translating(about):
            async with asyncio.timeout(self._answer_seconds_max), self._writing:
                try:
                    await connection.execute_fetchall("BEGIN IMMEDIATE")
                    result = await work(connection)
                    await asyncio.to_thread(self._guard.require)
                    await connection.execute_fetchall("COMMIT")
                except BaseException:
                    # Also where it was waited for too long: the statement goes on in its thread, and would leave a
                    # transaction open for ever. An error, or a commit that came late, may have ended it already.
                    with suppress(sqlite3.Error, ValueError):
                        await connection.execute_fetchall("ROLLBACK")
                    raise
                return result

    async def _run(
        self, connection: aiosqlite.Connection, sql: str, values: Values, about: str
    ) -> list[Any]:
        """Run one statement, which is one transaction, and return its rows.

        A caller that is cancelled leaves nothing open: the statement runs in the connection's
        thread, or does not.
        """
        with self._translating(about):
            async with asyncio.timeout(self._answer_seconds_max):
                return list(await connection.execute_fetchall(sql, values))


@asynccontextmanager
async def opened(path: Path, *, must_exist: bool = False) -> AsyncIterator[SqliteFile]:
    """Open the file at `path`, creating and migrating it; close it at the end. With `must_exist` none is created.

    Raises `StoreUnavailable` when the file cannot be used, also when a newer program wrote it.
    """
    async with AsyncExitStack() as stack:
        try:
            stack.enter_context(shared(path))
            if must_exist:
                await asyncio.to_thread(_require_content, path)
            await asyncio.to_thread(prepare, path)
        except (SchemaError, InUse, OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"store {path}: {error}") from error
        writer = await _connect(stack, path, _SETTINGS)
        reader = await _connect(stack, path, _READING)
        seeker = await _connect(stack, path, _READING)
        file = SqliteFile(path, writer=writer, reader=reader, seeker=seeker)
        stack.push_async_callback(file.settle)
        yield file


@asynccontextmanager
async def opened_to_seek(path: Path) -> AsyncIterator[SqliteFile]:
    """Open the file at `path`, which somebody else has opened and writes to, for nothing but to read.

    Raises `StoreUnavailable`.
    """
    async with AsyncExitStack() as stack:
        seeker = await _connect(stack, path, _READING)
        yield SqliteFile(path, writer=seeker, reader=seeker, seeker=seeker)


async def _connect(
    stack: AsyncExitStack, path: Path, settings: Iterable[str]
) -> aiosqlite.Connection:
    # It is there: what is not must not be made by whoever only looks.
    uri = f"file:{quote(str(path))}?mode=rw"
    connecting = aiosqlite.connect(uri, uri=True, isolation_level=None, cached_statements=64)
    try:
        connection = await stack.enter_async_context(connecting)
        for setting in settings:
            await connection.execute_fetchall(setting)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"store {path}: {error}") from error
    return connection


def _require_content(path: Path) -> None:
    """Raise `OSError` unless there is a file with something in it: SQLite would make an empty one a new store."""
    if path.stat().st_size == 0:
        raise FileNotFoundError(ENOENT, "the file is empty")


class _Translation:
    """Turns any error of the driver into one of the port's; the text names no value that was to be stored."""

    def __init__(self, about: str, path: Path, guard: Guard) -> None:
        self._about = about
        self._path = path
        self._guard = guard

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _DRIVER_ERRORS):
            self._guard.heard(error)
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            return StoreUnavailable(f"store {self._path}: no answer in time")
        if isinstance(error, sqlite3.IntegrityError):
            return Conflict(f"{self._about}: {_BROKEN_RULES.get(error.sqlite_errorname, error)}")
        return StoreUnavailable(f"store {self._path}: {error}")


_BROKEN_RULES: Final = {
    "SQLITE_CONSTRAINT_UNIQUE": "another record has the same digest",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "what it refers to does not exist",
}
