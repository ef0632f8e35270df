"""News from the other gateways, and the lock of the leader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.database_address import read_address
from gateway.ports import StoreUnavailable
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.database import Database
from gateway.stores.postgres.nodes import PostgresNodes
from gateway.stores.postgres.opening import opened_to_find
from gateway.stores.postgres.session import PostgresSession
from gateway.stores.postgres.store import PostgresStore
from tests.contracts.nodes import a_node
from tests.key_samples import a_key, a_tenant
from tests.postgres import connect, running
from tests.wire import until

SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Listener:
    """A session, and what it was told."""

    def __init__(self, access: Access, idle_seconds: float = 10.0) -> None:
        self.revisions = self.acknowledgements = self.others = 0
        self.session = PostgresSession(
            access,
            lambda: idle_seconds,
            on_revision=self._revision,
            on_acknowledged=self._acknowledged,
            on_other_server=self._other,
        )

    def _revision(self) -> None:
        self.revisions += 1

    def _acknowledged(self) -> None:
        self.acknowledgements += 1

    def _other(self) -> None:
        self.others += 1


@pytest.fixture
async def listen(access: Access) -> AsyncIterator[Callable[[], Listener]]:
    made: list[Listener] = []

    def make(idle_seconds: float = 10.0) -> Listener:
        made.append(Listener(access, idle_seconds))
        return made[-1]

    yield make
    for each in made:
        await each.session.close()


async def test_a_change_is_news_once_it_can_be_read(
    listen: Callable[[], Listener], access: Access, store: PostgresStore
) -> None:
    listener = listen()
    await listener.session.attend()
    assert listener.revisions == 1  # something may have happened before
    async with opened_to_find(access, 1) as elsewhere:
        await PostgresStore(elsewhere).save_tenant(a_tenant())
        await until(lambda: listener.revisions == 2)
        assert await store.get_tenant("ten_a") is not None
        await PostgresStore(elsewhere).commit([])
        await PostgresStore(elsewhere).touch({"key_a": 1.0})
    await listener.session.attend()
    assert listener.revisions == 2


async def test_an_acknowledgement_is_news_and_a_sign_of_life_is_none(
    listen: Callable[[], Listener], database: Database
) -> None:
    listener, nodes = listen(), PostgresNodes(database)
    await nodes.beat(a_node())
    await listener.session.attend()
    assert listener.acknowledgements == 1
    await nodes.beat(a_node(beat=2))
    await nodes.acknowledge("node_a", 7, ())
    await nodes.acknowledge("node_a", 7, ())
    await until(lambda: listener.acknowledgements == 2)
    await listener.session.attend()
    assert listener.acknowledgements == 2


async def test_of_several_gateways_one_leads_and_another_when_it_ends(
    listen: Callable[[], Listener],
) -> None:
    first, second = listen(), listen()
    await first.session.attend()
    await second.session.attend()
    assert (first.session.is_leader, second.session.is_leader) == (True, False)
    await first.session.attend()
    await first.session.close()
    await second.session.attend()
    assert (first.session.is_leader, second.session.is_leader) == (False, True)


async def test_who_loses_the_connection_leads_no_more_and_listens_again(
    listen: Callable[[], Listener], url: str, store: PostgresStore
) -> None:
    first, second = listen(), listen()
    await first.session.attend()
    await second.session.attend()
    other = await connect(url)
    await other.execute(SESSIONS)
    await other.close()
    await until(lambda: not first.session.is_leader)
    await second.session.attend()
    assert second.session.is_leader
    await store.save_tenant(a_tenant())  # which nobody tells the first one of
    before = first.revisions
    await first.session.attend()
    assert not first.session.is_leader
    assert first.revisions == before + 1  # as if there were news: there are some
    await store.save_key(a_key())
    await until(lambda: first.revisions == before + 2)
    assert first.others == 0


async def test_a_leader_that_stands_still_loses_the_lock_when_its_lease_is_over(
    listen: Callable[..., Listener],
) -> None:
    first, second = listen(0.2), listen()
    await first.session.attend()
    await second.session.attend()
    assert not second.session.is_leader
    await asyncio.sleep(0.4)  # in which the first one does nothing
    await second.session.attend()
    assert second.session.is_leader


async def test_without_the_database_it_is_an_outage_and_nobody_leads(
    listen: Callable[[], Listener],
) -> None:
    listener = listen()
    await listener.session.attend()
    listener.session.drop()
    listener.session._access = replace(
        listener.session._access, address=read_address("postgresql://u@127.0.0.1:1/d")
    )
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await listener.session.attend()
    assert not listener.session.is_leader


async def test_another_server_is_noticed_because_it_may_have_lost_something(
    listen: Callable[[], Listener],
) -> None:
    listener = listen()
    await listener.session.attend()
    with running() as server:
        listener.session.drop()
        listener.session._access = Access(address=read_address(server.url()))
        await listener.session.attend()
        assert listener.others == 1
        await listener.session.close()


async def test_a_user_without_special_rights_can_do_all_of_it(
    url: str, access: Access, tmp_path: Path
) -> None:
    other = await connect(url)
    await other.execute("DROP ROLE IF EXISTS plain_user")
    await other.execute("CREATE ROLE plain_user LOGIN")
    await other.close()
    address = replace(access.address, user="plain_user")
    listener = Listener(replace(access, address=address))
    await listener.session.attend()
    assert listener.session.is_leader
    await listener.session.close()
