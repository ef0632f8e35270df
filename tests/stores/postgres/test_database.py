"""What a database does to a gateway: it is slow, locked, full, read-only, restarted, frozen or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import asyncpg
import pytest

from gateway.domain.database_address import read_address
from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.postgres.access import LIMITS, Access
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.opening import make_ready, opened, opened_to_find
from gateway.stores.postgres.store import PostgresStore
from tests.key_samples import a_key, a_tenant
from tests.postgres import Server, connect, running
from tests.wire import until

SHORT = {
    "statement_timeout": "400",
    "lock_timeout": "300",
    "idle_in_transaction_session_timeout": "500",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a server that the tests may hurt."""
    with running() as server:
        asyncio.run(make_ready(Access(address=read_address(server.url()))))
        yield server


@pytest.fixture
async def frail(server: Server) -> AsyncIterator[Database]:
    """Open what is on that server; nothing is waited for longer than a second and a half."""
    access = Access(address=read_address(server.url()))
    database = Database(access, 2, answer_seconds_max=1.5)
    await database.ask("SELECT 1")
    await database.seek("SELECT 1")
    yield database
    server.thaw()
    await database.close()


# ---- outages


async def test_a_server_that_is_not_there_is_an_outage_and_its_name_holds_no_password() -> None:
    access = Access(address=read_address("postgresql://u:hunter2@127.0.0.1:1/d"))
    async with opened_to_find(access, 1) as database:
        with pytest.raises(StoreUnavailable) as caught:
            await database.ask("SELECT 1")
    assert "postgresql://u@127.0.0.1:1/d" in str(caught.value)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {access!r}"
    with pytest.raises(StoreUnavailable):
        await make_ready(access)


async def test_what_asks_first_after_a_restart_notices_nothing(
    server: Server, frail: Database
) -> None:
    server.stop()
    with pytest.raises(StoreUnavailable):
        await frail.ask("SELECT 1")
    server.start()
    assert (await frail.ask("SELECT 2"))[0][0] == 2
    assert (await frail.seek("SELECT 3"))[0][0] == 3


async def test_a_kept_connection_that_turns_out_to_be_dead_is_replaced(
    server: Server, frail: Database
) -> None:
    other = await connect(server.url())
    ended = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'tollhouse' AND pid <> pg_backend_pid()"
    )
    await other.execute(ended)
    # In the same turn of the loop: nobody has noticed yet.
    assert (await frail.ask("SELECT 2"))[0][0] == 2
    await other.execute(ended)
    store = PostgresStore(frail)
    assert (await store.save_tenant(a_tenant())).revision > 0
    await other.close()


async def test_a_server_that_is_killed_in_the_middle_is_an_outage(
    server: Server, frail: Database
) -> None:
    waiting = asyncio.create_task(frail.ask("SELECT pg_sleep(1)"))
    await asyncio.sleep(0.2)
    server.kill()
    with pytest.raises(StoreUnavailable):
        await waiting
    server.start()
    assert (await frail.ask("SELECT 2"))[0][0] == 2


async def test_a_server_that_stands_still_is_an_outage_in_time_and_no_longer(
    server: Server, frail: Database
) -> None:
    store = PostgresStore(frail)
    server.freeze()
    began = time.monotonic()
    found = await asyncio.gather(
        frail.ask("SELECT 1"),
        frail.seek("SELECT 1"),
        store.save_tenant(a_tenant()),
        store.find([bytes(32)]),
        return_exceptions=True,
    )
    assert time.monotonic() - began < 5
    assert {type(each) for each in found} == {StoreUnavailable}
    assert "no answer in time" in str(found[0])
    server.thaw()
    assert (await frail.ask("SELECT 2"))[0][0] == 2
    await until(lambda: not frail.is_silent)
    assert await store.find([bytes(32)]) is None


async def test_while_a_server_stands_still_no_request_waits_but_the_first(
    server: Server, frail: Database
) -> None:
    server.freeze()
    with pytest.raises(StoreUnavailable):
        await frail.seek("SELECT 1")
    for _ in range(50):
        seeking = frail.seek("SELECT 1")
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            seeking.send(None)  # it ends in its first step: there is nothing that it would wait for
    server.thaw()
    await until(lambda: not frail.is_silent)
    assert (await frail.seek("SELECT 2"))[0][0] == 2


async def test_a_read_only_database_can_be_read(server: Server) -> None:
    async with opened(Access(address=read_address(server.url())), 2) as database:
        store = PostgresStore(database)
        await store.save_tenant(a_tenant("ten_ro"))
    other = await connect(server.url())
    await other.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        async with opened(Access(address=read_address(server.url())), 2) as database:
            store = PostgresStore(database)
            assert await store.get_tenant("ten_ro") is not None
            with pytest.raises(StoreUnavailable, match="read-only"):
                await store.save_tenant(a_tenant("ten_new"))
            with pytest.raises(StoreUnavailable, match="read-only"):
                await store.save_counts({"a": (1, 1)})
    finally:
        await other.execute("SET default_transaction_read_only = off")
        await other.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
        await other.close()


# ---- what is locked


@pytest.fixture
async def hasty(access: Access) -> AsyncIterator[Database]:
    """Open a database whose locks are not waited for."""
    async with opened_to_find(replace(access, limits=SHORT), 4) as database:
        yield database


async def test_what_somebody_else_has_locked_is_an_outage_and_is_named(
    url: str, hasty: Database
) -> None:
    store = PostgresStore(hasty)
    other = await connect(url)
    async with other.transaction():
        await other.execute("LOCK TABLE store IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="locked by somebody else"):
            await store.save_tenant(a_tenant())
        assert await store.get_tenant("ten_a") is None  # reading goes on
    assert (await store.save_tenant(a_tenant())).revision == 1
    await other.close()


async def test_a_statement_that_takes_too_long_is_an_outage(hasty: Database) -> None:
    with pytest.raises(StoreUnavailable, match="took too long"):
        await hasty.ask("SELECT pg_sleep(5)")


async def test_a_gateway_that_stands_still_in_a_transaction_holds_nobody_up_for_long(
    hasty: Database, store: PostgresStore
) -> None:
    """It is the server that ends it: nobody else can tell that it stands still."""
    held = asyncio.Event()

    async def stand_still(connection: asyncpg.Connection) -> None:
        await connection.execute("SELECT revision FROM store FOR UPDATE")
        held.set()
        await asyncio.sleep(2)
        await connection.execute("SELECT 1")

    standing = asyncio.create_task(hasty.transact(stand_still, about="nothing"))
    await held.wait()
    began = time.monotonic()
    await store.save_tenant(a_tenant())
    assert time.monotonic() - began < 2
    with pytest.raises(StoreUnavailable):
        await standing


def test_nothing_waits_for_longer_than_the_port_promises() -> None:
    limits = {name: int(value) for name, value in LIMITS.items()}
    assert limits["lock_timeout"] < limits["statement_timeout"] < 5_000
    assert limits["idle_in_transaction_session_timeout"] <= 5_000


# ---- revisions


async def test_revisions_become_visible_in_their_order(url: str, store: PostgresStore) -> None:
    """The next writer waits until the one before it can be read: there is no gap to fall into."""
    other = await connect(url)
    transaction = other.transaction()
    await transaction.start()
    assert await other.fetchval("UPDATE store SET revision = revision + 1 RETURNING revision") == 1
    writing = asyncio.create_task(store.save_tenant(a_tenant()))
    await asyncio.sleep(0.3)
    assert not writing.done()
    assert await store.changes_since(0) == (0, [])
    await transaction.commit()
    assert (await writing).revision == 2
    await other.close()


async def test_a_transaction_that_is_given_up_leaves_no_gap(url: str, store: PostgresStore) -> None:
    other = await connect(url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE store SET revision = revision + 1")
    await transaction.rollback()
    assert (await store.save_tenant(a_tenant())).revision == 1
    await other.close()


async def test_a_reader_never_sees_a_revision_before_those_below_it(
    access: Access, store: PostgresStore
) -> None:
    await store.save_tenant(a_tenant())
    looks: list[tuple[int, set[str]]] = []
    is_writing = True

    async def look() -> None:
        seen, known = 1, set[str]()
        while is_writing:
            seen, ids = await store.changes_since(seen)
            known |= set(ids)
            looks.append((seen, set(known)))
        seen, ids = await store.changes_since(seen)
        looks.append((seen, known | set(ids)))

    async def write(writer: int) -> None:
        async with opened_to_find(access, 2) as own:
            for number in range(15):
                await PostgresStore(own).save_key(a_key(f"key_{writer}_{number}"))

    looking = asyncio.create_task(look())
    await asyncio.gather(*(write(writer) for writer in range(6)))
    is_writing = False
    await looking
    written = {key.key_id: key.revision for key in await store.list_keys(limit=1000)}
    assert sorted(written.values()) == list(range(2, 92))
    assert len(looks) > 2
    for seen, known in looks:
        assert known == {key_id for key_id, revision in written.items() if revision <= seen}


async def test_gateways_that_write_the_same_keys_never_wait_for_each_other_for_ever(
    access: Access, store: PostgresStore
) -> None:
    await store.save_tenant(a_tenant())
    names = [f"key_{n}" for n in range(20)]
    for name in names:
        await store.save_key(a_key(name))

    async def use(order: list[str], at: float) -> None:
        async with opened_to_find(access, 2) as own:
            for n in range(20):
                await PostgresStore(own).touch(dict.fromkeys(order, at + n))
                await PostgresStore(own).save_counts(dict.fromkeys(order, (1, n)))

    await asyncio.gather(use(names, 1e9), use(names[::-1], 1e9 + 5), use(names[::2], 1e9))
    used = [key.last_used_at for key in await store.list_keys()]
    assert used == [1e9 + 5 + 19] * 20


# ---- connections


async def limited(url: str, connections: int) -> str:
    """Make a user who may have so many connections; return their address."""
    other = await connect(url)
    name = f"limited_{connections}_{time.monotonic_ns()}"
    await other.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {connections}")
    await other.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
    await other.close()
    return url.replace("postgres@", f"{name}@")


async def test_where_the_server_gives_no_more_connections_those_that_there_are_are_shared(
    url: str,
) -> None:
    access = Access(address=read_address(await limited(url, 1)))
    async with opened_to_find(access, 4) as database:
        rows = await asyncio.gather(*(database.ask("SELECT $1::int", n) for n in range(10)))
    assert [each[0][0] for each in rows] == list(range(10))


async def test_where_the_server_gives_none_it_is_an_outage(url: str) -> None:
    access = Access(address=read_address(await limited(url, 0)))
    async with opened_to_find(access, 4) as database:
        found = await asyncio.gather(
            *(database.ask("SELECT 1") for _ in range(10)), return_exceptions=True
        )
    assert {type(each) for each in found} == {StoreUnavailable}
    assert "too many connections" in str(found[0])


async def test_no_more_connections_are_opened_than_are_allowed(
    url: str, database: Database
) -> None:
    await asyncio.gather(*(database.ask("SELECT pg_sleep(0.05)") for _ in range(20)))
    await asyncio.gather(*(database.seek("SELECT pg_sleep(0.05)") for _ in range(20)))
    other = await connect(url)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    assert await other.fetchval(count) <= 8 + 1
    await other.close()


async def test_who_waits_too_long_for_a_connection_is_told_so(access: Access) -> None:
    database = Database(access, 1, answer_seconds_max=0.4)
    waiting = asyncio.create_task(database.ask("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        await asyncio.gather(*(database.ask("SELECT pg_sleep(0.3)") for _ in range(3)))
    await waiting
    await database.close()


async def test_a_caller_that_goes_away_leaves_nothing_half_done(store: PostgresStore) -> None:
    writing = asyncio.create_task(store.save_tenant(a_tenant()))
    await asyncio.sleep(0.001)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await store._database.close()


async def test_a_reader_that_goes_away_takes_its_connection_along(
    url: str, database: Database
) -> None:
    reading = asyncio.create_task(database.ask("SELECT pg_sleep(20)"))
    await asyncio.sleep(0.2)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(5):
        assert (await database.ask("SELECT 1"))[0][0] == 1


async def test_a_closed_database_is_an_outage(access: Access) -> None:
    async with opened_to_find(access, 1) as database:
        await database.ask("SELECT 1")
    with pytest.raises(StoreUnavailable, match="closed"):
        await database.ask("SELECT 1")


# ---- what errors say


async def test_errors_name_neither_the_digest_nor_the_driver(store: PostgresStore) -> None:
    await store.save_tenant(a_tenant())
    await store.save_key(a_key("key_a"))
    with pytest.raises(Conflict) as caught:
        await store.save_key(a_key("key_b", digest=a_key("key_a").digest))
    assert str(caught.value) == "key_b: another record has the same digest"
    with pytest.raises(Conflict) as caught:
        await store.save_key(a_key("key_c", tenant_id="ten_x"))
    assert str(caught.value) == "key_c: what it refers to does not exist"
    with pytest.raises(Conflict) as caught:
        await store.save_key(a_key("key_d", digest=b"short"))
    assert str(caught.value) == "key_d: holds what the store cannot keep"


async def test_text_that_no_database_holds_is_found_nowhere_and_cannot_be_written(
    store: PostgresStore,
) -> None:
    await store.save_tenant(a_tenant())
    assert await store.get_key("key_\0") is None
    for text in ("a\0b", "\ud800"):
        with pytest.raises(Conflict, match="cannot keep"):
            await store.save_key(a_key(name=text))
    assert await store.list_keys() == []


async def test_metadata_comes_back_as_it_was_told(store: PostgresStore) -> None:
    await store.save_tenant(a_tenant())
    told = {"big": 10**30, "nul": "\0", "float": 0.1, "order": {"b": 1, "a": 2}}
    await store.save_key(a_key(metadata=told))
    found = await store.get_key("key_a")
    assert found is not None
    assert found.metadata == told
    assert list(found.metadata["order"]) == ["b", "a"]


# ---- a pooler in between


@pytest.mark.parametrize("is_preparing", [True, False])
async def test_through_a_pooler_everything_works_the_same(
    access: Access, is_preparing: bool
) -> None:
    pooled = replace(access, is_pooled=True, is_preparing=is_preparing)
    async with opened(pooled, 2) as database:
        store = PostgresStore(database)
        await store.save_tenant(a_tenant())
        key = await store.save_key(a_key())
        await store.touch({"key_a": 5.0})
        assert await store.find([key.digest]) is not None
        assert (await store.list_keys())[0].last_used_at == 5.0
        assert await store.changes_since(1) == (2, ["key_a"])
