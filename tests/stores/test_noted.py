"""What is written is noted before the call returns; what may have been written is noted as unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from gateway.domain.admin_tokens import AdminToken, Role
from gateway.ports import Conflict, Record, StoreUnavailable, Write
from gateway.stores.memory import MemoryStore
from gateway.stores.noted import NotedStore
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant


class Notes:
    def __init__(self) -> None:
        self.noted: list[Any] = []
        self.doubted: list[str] = []

    async def note(
        self,
        records: Iterable[Record],
        doubtful_keys: Collection[str] = (),
        doubtful_tenants: Collection[str] = (),
    ) -> None:
        self.noted += records
        self.doubted += [*doubtful_keys, *doubtful_tenants]


class Dying(MemoryStore):
    """Writes, and then fails to say so."""

    async def commit(self, *values: Any) -> Any:
        await super().commit(*values)
        raise StoreUnavailable("no answer in time")


def noted(store: MemoryStore, notes: Notes, *, reached: bool = True) -> NotedStore:
    return NotedStore(store, FakeClock(), lambda *_: None, notes, lambda: reached)


async def test_records_are_noted_as_they_were_written() -> None:
    notes = Notes()
    store = noted(MemoryStore(), notes)
    tenant = await store.save_tenant(a_tenant())
    key = await store.save_key(a_key())
    both = await store.commit([Write(tenant), Write(key)])
    assert notes.noted == [tenant, key, *both]
    assert both[1].revision == 4


async def test_a_write_that_met_another_one_is_not_noted() -> None:
    notes = Notes()
    store = noted(MemoryStore(), notes)
    await store.save_tenant(a_tenant())
    with pytest.raises(Conflict):
        await store.save_tenant(a_tenant(), expected_revision=0)
    assert len(notes.noted) == 1
    assert notes.doubted == []


async def test_of_a_write_that_may_have_happened_nothing_is_known_any_more() -> None:
    notes = Notes()
    store = noted(Dying(), notes)
    token = AdminToken(
        token_id="adm_a",
        name="n",
        role=Role.VIEWER,
        digest=b"d" * 32,
        pepper_id="p1",
        display="t",
        created_at=0.0,
    )
    with pytest.raises(StoreUnavailable):
        await store.commit([Write(a_tenant()), Write(a_key()), Write(token)])
    assert notes.noted == []
    assert notes.doubted == ["key_a", "ten_a"]
    assert not store.is_up


async def test_what_could_not_reach_the_store_is_as_it_was() -> None:
    notes = Notes()
    with pytest.raises(StoreUnavailable):
        await noted(Dying(), notes, reached=False).save_tenant(a_tenant())
    assert notes.doubted == []
