"""Opens the database: what is opened is brought to this program's schema, and closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg

from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import DRIVER_ERRORS, Access, said
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.migrations import SchemaError, prepare, require_newest


@asynccontextmanager
async def opened(access: Access, connections_max: int) -> AsyncIterator[Database]:
    """Open the database behind `access`, and create or migrate its tables.

    Raises `StoreUnavailable` when it cannot be used, also when a newer program wrote it.
    """
    await make_ready(access)
    async with opened_to_find(access, connections_max) as database:
        yield database


@asynccontextmanager
async def opened_to_find(access: Access, connections_max: int) -> AsyncIterator[Database]:
    """Open a database that is ready. Nothing is asked of it before it is needed."""
    database = Database(access, connections_max)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def opened_to_read(access: Access) -> AsyncIterator[Database]:
    """Open a database for nothing but to read: it is not even migrated.

    Raises `StoreUnavailable` when it cannot be used, or does not have the schema of this program.
    """
    with _refusing(access):
        connection = await access.connect()
        try:
            await require_newest(connection)
        finally:
            connection.terminate()
    async with opened_to_find(access, 1) as database:
        yield database


async def make_ready(access: Access) -> None:
    """Create or migrate the tables. Raises `StoreUnavailable`."""
    async with connected(access):
        return


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[asyncpg.Connection]:
    """Hold one connection to the database, whose tables are ready. Raises `StoreUnavailable`, also in the block."""
    with _refusing(access):
        connection = await access.connect()
        try:
            await prepare(connection)
            yield connection
        finally:
            connection.terminate()


@contextmanager
def _refusing(access: Access) -> Iterator[None]:
    """Say for the port why the database cannot be used."""
    try:
        yield
    except SchemaError as error:
        raise StoreUnavailable(f"store {access.address}: {error}") from error
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(f"store {access.address}: {said(error)}") from error
