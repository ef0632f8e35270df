from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.migrations import SchemaError, prepare, require_version, steps
from gateway.stores.postgres.opening import connected, make_ready, opened
from gateway.stores.postgres.store import PostgresStore
from tests.key_samples import a_tenant
from tests.postgres import connect, fresh

NEWEST = steps()[-1][0]


@pytest.fixture
async def url(postgres: str) -> AsyncIterator[str]:
    async with fresh(postgres, template="template0") as address:
        yield address


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    return {row[0] for row in rows}


def test_the_steps_are_numbered_without_gap() -> None:
    assert [version for version, _ in steps()] == list(range(1, NEWEST + 1))


async def test_gateways_that_start_together_make_the_tables_once(access: Access) -> None:
    await asyncio.gather(*(make_ready(access) for _ in range(6)))
    async with opened(access, 1) as database:
        assert (await PostgresStore(database).save_tenant(a_tenant())).revision == 1
    async with connected(access) as connection:
        assert await connection.fetchval("SELECT version FROM tollhouse_schema") == NEWEST


async def test_a_step_that_fails_leaves_the_database_as_it_was(access: Access, url: str) -> None:
    connection = await connect(url)
    await prepare(connection)
    before = await tables(connection)
    broken = (NEWEST + 1, "CREATE TABLE halfway (a TEXT); CREATE TABLE broken (;")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await prepare(connection, [*steps(), broken])
    assert await tables(connection) == before
    await prepare(connection)
    await connection.close()


async def test_a_database_from_the_step_before_is_brought_up_to_date(url: str) -> None:
    connection = await connect(url)
    await prepare(connection)
    later = (NEWEST + 1, "CREATE TABLE later (a TEXT);")
    await prepare(connection, [*steps(), later])
    assert "later" in await tables(connection)
    assert await connection.fetchval("SELECT version FROM tollhouse_schema") == NEWEST + 1
    await connection.close()


async def test_a_database_of_a_newer_program_is_refused_with_advice(
    access: Access, url: str
) -> None:
    await make_ready(access)
    connection = await connect(url)
    await connection.execute("UPDATE tollhouse_schema SET version = 999")
    await connection.close()
    with pytest.raises(StoreUnavailable, match=r"has schema 999.*run the newer program"):
        await make_ready(access)


async def test_a_server_that_is_too_old_is_refused_by_name(url: str) -> None:
    connection = await connect(url)
    found = connection.get_server_version()
    require_version(found)
    with pytest.raises(SchemaError, match="PostgreSQL 13 is too old: run 14 or newer"):
        require_version(found._replace(major=13))
    await connection.close()


async def test_whoever_may_not_change_the_schema_can_use_one_that_is_ready(
    access: Access, url: str
) -> None:
    await make_ready(access)
    connection = await connect(url)
    await connection.execute("SET default_transaction_read_only = on")
    await prepare(connection)
    await connection.close()


async def test_ids_compare_byte_by_byte_whatever_the_language_of_the_database(
    access: Access,
) -> None:
    await make_ready(access)
    async with connected(access) as connection:
        rows = await connection.fetch(
            """
            SELECT c.relname || '.' || a.attname
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_collation k ON k.oid = a.attcollation
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND k.collname <> 'C'
              AND (a.attname LIKE '%\\_id' OR a.attname IN ('bucket', 'idempotency_key'))
            """
        )
    allowed = {"keys.pepper_id", "admin_tokens.pepper_id", "idempotency.result_id"}
    assert {row[0] for row in rows} <= allowed


async def test_a_database_that_may_lose_what_it_acknowledged_is_refused_with_advice(
    access: Access, url: str
) -> None:
    connection = await connect(url)
    name = access.address.database
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match="SET synchronous_commit = on"):
        await make_ready(access)
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = remote_write")
    await connection.close()
    await make_ready(access)
