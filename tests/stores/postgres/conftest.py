"""A server for the session, and for each test a database and what is opened over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.domain.database_address import read_address
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.opening import opened
from gateway.stores.postgres.store import PostgresStore
from tests.postgres import fresh
from tests.postgres import postgres as postgres


@pytest.fixture
async def url(postgres: str) -> AsyncIterator[str]:
    async with fresh(postgres) as address:
        yield address


@pytest.fixture
def access(url: str) -> Access:
    return Access(address=read_address(url))


@pytest.fixture
async def database(access: Access) -> AsyncIterator[Database]:
    async with opened(access, 4) as database:
        yield database


@pytest.fixture
def store(database: Database) -> PostgresStore:
    return PostgresStore(database)
