"""Opens the database: what is opened is brought to this program's schema, and closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import DRIVER_ERRORS, Access, said
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.migrations import SchemaError, prepare


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


async def make_ready(access: Access) -> None:
    """Create or migrate the tables. Raises `StoreUnavailable`."""
    async with connected(access):
        return


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[asyncpg.Connection]:
    """Hold one connection to the database, whose tables are ready. Raises `StoreUnavailable`, also in the block."""
    try:
        connection = await access.connect()
        try:
            await prepare(connection)
            yield connection
        finally:
            connection.terminate()
    except SchemaError as error:
        raise StoreUnavailable(f"store {access.address}: {error}") from error
    except DRIVER_ERRORS as error:
        raise StoreUnavailable(f"store {access.address}: {said(error)}") from error
