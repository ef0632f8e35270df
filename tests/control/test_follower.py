from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.control.follower import Follower
from gateway.domain.tenants import Tenant
from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore


class BrokenStore(MemoryStore):
    """A store that does not answer while `is_away`."""

    is_away = False

    async def changes_since(self, revision: int) -> tuple[int, list[str]]:
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().changes_since(revision)


class Forgotten:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    async def everything(self) -> None:
        self.calls.append(["*"])

    async def __call__(self, ids: Iterable[str]) -> None:
        self.calls.append(list(ids))


async def save(store: MemoryStore, name: str) -> None:
    await store.save_tenant(Tenant(tenant_id=name, name=name))


async def test_what_changed_elsewhere_is_forgotten_once() -> None:
    store, forgotten = BrokenStore(), Forgotten()
    await save(store, "old")
    follower = Follower(store, forgotten, forgotten.everything, await store.revision())
    await follower.follow()
    assert forgotten.calls == []
    await save(store, "a")
    await save(store, "b")
    await follower.follow()
    await follower.follow()
    assert [sorted(call) for call in forgotten.calls] == [["a", "b"]]


async def test_changes_during_an_outage_are_forgotten_after_it() -> None:
    store, forgotten = BrokenStore(), Forgotten()
    follower = Follower(store, forgotten, forgotten.everything, 0)
    await save(store, "a")
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        await follower.follow()
    store.is_away = False
    await follower.follow()
    assert forgotten.calls == [["a"]]


async def test_changes_that_could_not_be_forgotten_are_tried_again() -> None:
    store, calls = BrokenStore(), 0

    async def invalidate(_ids: Iterable[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("broken")

    follower = Follower(store, invalidate, Forgotten().everything, 0)
    await save(store, "a")
    with pytest.raises(ValueError, match="broken"):
        await follower.follow()
    await follower.follow()
    assert calls == 2


async def test_a_store_that_went_back_makes_everything_forgotten() -> None:
    store, forgotten = MemoryStore(), Forgotten()
    await save(store, "restored")
    follower = Follower(store, forgotten, forgotten.everything, 100)
    await follower.follow()
    await follower.follow()
    assert forgotten.calls == [["*"]]


async def test_a_store_that_is_not_believed_any_more_makes_everything_forgotten_once() -> None:
    store, forgotten = MemoryStore(), Forgotten()
    await save(store, "a")
    follower = Follower(store, forgotten, forgotten.everything, 1)
    follower.distrust()
    assert await follower.follow() == 1
    await save(store, "b")
    assert await follower.follow() == 2
    assert forgotten.calls == [["*"], ["b"]]


async def test_what_changed_before_a_distrust_is_told_as_well_because_streams_end_by_it() -> None:
    store, forgotten = MemoryStore(), Forgotten()
    follower = Follower(store, forgotten, forgotten.everything, 0)
    await save(store, "a")
    follower.distrust()
    assert await follower.follow() == 1
    assert forgotten.calls == [["*"], ["a"]]


async def test_a_distrust_that_met_an_outage_holds_until_all_was_forgotten() -> None:
    store, forgotten = BrokenStore(), Forgotten()
    follower = Follower(store, forgotten, forgotten.everything, 0)
    follower.distrust()
    store.is_away = True
    with pytest.raises(StoreUnavailable):
        await follower.follow()
    store.is_away = False
    await follower.follow()
    assert forgotten.calls == [["*"]]


async def test_a_distrust_that_could_not_be_carried_out_is_tried_again() -> None:
    forgotten = Forgotten()

    async def fail() -> None:
        raise ValueError("broken")

    follower = Follower(MemoryStore(), forgotten, fail, 0)
    follower.distrust()
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await follower.follow()
