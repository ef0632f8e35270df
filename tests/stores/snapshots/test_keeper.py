"""A change is in the snapshot when it is acknowledged, or there is no snapshot, or it is said that it is stale."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.key_snapshots import Moment
from gateway.domain.keys import KeyState
from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore
from gateway.stores.snapshots.files import Files
from gateway.stores.snapshots.finder import KnownKeys, ReservedKeys
from gateway.stores.snapshots.keeper import ENTRIES_MAX, ENTRIES_MOST, Keeper
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Unusable
from tests.key_samples import a_key, a_tenant
from tests.stores.snapshots.samples import HERE, STORE, files, keys, reading, seals


@asynccontextmanager
async def keeping(folder: Path, store: Any) -> AsyncIterator[tuple[Keeper, Files]]:
    """Keep a snapshot of `store`, in pages of two records without pauses."""
    into = files(folder)
    keeper = Keeper(into, lambda: store, rest=0.0, page=2)
    yield keeper, into
    await keeper.close()


async def a_store(count: int = 5) -> MemoryStore:
    store = MemoryStore()
    for n in range(3):
        await store.save_tenant(a_tenant(f"ten_{n}"))
    for key in keys(count):
        await store.save_key(key)
    return store


def names(folder: Path) -> int:
    return len([*folder.iterdir()])


class Broken(Files):
    """Files on a disk that takes nothing; `keeps` also what is there."""

    is_full = False
    keeps = False

    def note(self, entries: Sequence[bytes]) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super().note(entries)

    def drop(self) -> None:
        if self.keeps:
            raise OSError(30, "Read-only file system")
        super().drop()


async def test_all_records_are_written_in_parts(tmp_path: Path) -> None:
    store = await a_store()
    async with keeping(tmp_path, store) as (keeper, _):
        assert keeper.wants_pages
        assert keeper.stamp is None
        await keeper.write_pages(8, HERE)
        assert not keeper.wants_pages
        assert keeper.stamp is not None
        snapshot = reading(tmp_path)
        for key in keys(5):
            assert snapshot.key([key.digest]) is not None
        assert snapshot.pages.tenants == 3


async def test_a_change_that_overtakes_the_writing_of_pages_is_in_them(tmp_path: Path) -> None:
    store = await a_store(6)
    first = keys(6)[0]
    async with keeping(tmp_path, store) as (keeper, _):
        rows = store.key_rows

        async def slowly(after: bytes, limit: int) -> Any:
            found = await rows(after, limit)
            if after:  # its page was read already
                before = await store.get_key(first.key_id)
                assert before is not None
                revoked = await store.save_key(replace(before, state=KeyState.REVOKED))
                await keeper.note([revoked])
            return found

        store.key_rows = slowly  # type: ignore[method-assign]
        await keeper.write_pages(8, HERE)
        found = reading(tmp_path).key([first.digest])
        assert found is not None
        assert found[0].state is KeyState.REVOKED


async def test_who_read_a_key_before_it_was_revoked_and_tells_of_it_afterwards_changes_nothing(
    tmp_path: Path,
) -> None:
    store = await a_store()
    read = await store.get_key(keys(5)[0].key_id)
    owner = await store.get_tenant("ten_0")
    assert read is not None
    assert owner is not None
    async with keeping(tmp_path, store) as (keeper, _):
        await keeper.write_pages(8, HERE)
        await keeper.note([await store.save_key(replace(read, state=KeyState.REVOKED))])
        await keeper.note([await store.save_tenant(replace(owner, name="Renamed"))])
        await keeper.note([read, owner])
        snapshot = reading(tmp_path)
        found = snapshot.key([read.digest])
        assert found is not None
        assert found[0].state is KeyState.REVOKED
        assert snapshot.tenant("ten_0") == await store.get_tenant("ten_0")


async def test_a_change_that_cannot_be_noted_takes_the_snapshot_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await a_store()
    into = Broken(tmp_path / "keys.snapshot", seals, STORE)
    keeper = Keeper(into, lambda: store, rest=0.0)
    await keeper.write_pages(8, HERE)
    into.is_full = True
    await keeper.note([a_key(tenant_id="ten_0")])
    assert not (tmp_path / "keys.snapshot").exists()
    assert not keeper.is_silent
    assert keeper.wants_pages
    assert "No space left" in keeper.fault
    assert "it is removed, so a restart serves nobody" in caplog.text
    into.is_full = False
    await keeper.write_pages(9, HERE)
    assert keeper.fault == ""
    assert "is written again" in caplog.text
    await keeper.close()


async def test_a_stale_snapshot_that_cannot_be_removed_is_told_until_it_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await a_store()
    into = Broken(tmp_path / "keys.snapshot", seals, STORE)
    keeper = Keeper(into, lambda: store, rest=0.0)
    await keeper.write_pages(8, HERE)
    into.is_full = into.keeps = True
    await keeper.note([a_key(tenant_id="ten_0")])
    assert keeper.is_silent
    assert "cannot be removed" in caplog.text
    await keeper.confirm(9, HERE)
    assert keeper.is_silent
    into.keeps = False
    await keeper.note([])
    assert not keeper.is_silent
    assert not (tmp_path / "keys.snapshot").exists()
    await keeper.close()


async def test_pages_that_cannot_be_written_leave_those_that_are_true(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await a_store()
    async with keeping(tmp_path, store) as (keeper, _):
        await keeper.write_pages(8, HERE)
        rows = store.key_rows

        async def unsorted(after: bytes, limit: int) -> Any:
            return [*reversed(await rows(after, limit))]

        store.key_rows = unsorted  # type: ignore[method-assign]
        await keeper.write_pages(9, HERE)
        assert keeper.wants_pages
        assert "in order" in keeper.fault
        assert reading(tmp_path).journal.stamp.revision == 8

        async def down(after: bytes, limit: int) -> Any:
            raise StoreUnavailable("down")

        store.key_rows = down  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await keeper.write_pages(9, HERE)
        assert reading(tmp_path).journal.stamp.revision == 8
        assert names(tmp_path) == 2
        keeper.is_stopping = True
        store.key_rows = rows  # type: ignore[method-assign]
        caplog.clear()
        await keeper.write_pages(9, HERE)
        assert caplog.text == ""


async def test_a_snapshot_that_somebody_else_removed_is_written_anew(tmp_path: Path) -> None:
    async with keeping(tmp_path, await a_store()) as (keeper, into):
        await keeper.write_pages(8, HERE)
        into.path.unlink()
        await keeper.confirm(9, HERE)
        assert keeper.wants_pages
        assert keeper.stamp is None


async def test_many_changes_and_what_nobody_knows_ask_for_new_pages(tmp_path: Path) -> None:
    async with keeping(tmp_path, await a_store()) as (keeper, into):
        await keeper.write_pages(8, HERE)
        await keeper.note([a_key(tenant_id="ten_0")])
        assert not keeper.wants_pages
        await keeper.note([], ["key_1"], ["ten_1"])
        assert keeper.wants_pages
        keeper.wants_pages = False
        into.entries = ENTRIES_MAX
        await keeper.note([a_key(tenant_id="ten_0")])
        assert keeper.wants_pages
        into.entries = ENTRIES_MOST
        await keeper.note([a_key(tenant_id="ten_0")])
        assert keeper.stamp is None
        assert "too many changes" in keeper.fault


async def test_what_cannot_be_resumed_is_removed(tmp_path: Path) -> None:
    async with keeping(tmp_path, await a_store()) as (keeper, _):
        await keeper.write_pages(8, HERE)
    snapshot = reading(tmp_path)
    os.truncate(tmp_path / "keys.snapshot", 10)
    async with keeping(tmp_path, await a_store()) as (keeper, _):
        os.utime(tmp_path / "keys.snapshot", ns=(1, 1))
        await keeper.resume(snapshot)
        assert not (tmp_path / "keys.snapshot").exists()


# ---- who finds in it


class Now:
    def __init__(self) -> None:
        self.moment = HERE

    def __call__(self) -> Moment:
        return self.moment


async def test_known_keys_are_found_and_no_other_is_said_not_to_exist(tmp_path: Path) -> None:
    async with keeping(tmp_path, await a_store()) as (keeper, _):
        await keeper.write_pages(8, HERE)
    now, [key, *_] = Now(), keys(5)
    known = KnownKeys(Snapshot(tmp_path / "keys.snapshot", seals, STORE), now, lambda: 60.0)
    found = await known.find([bytes(32), key.digest])
    assert found is not None
    assert found[0].key_id == key.key_id
    assert await known.get_tenant("ten_1") is not None
    assert await known.why_not() == ""
    with pytest.raises(StoreUnavailable, match="does not know"):
        await known.find([bytes(32)])
    with pytest.raises(StoreUnavailable, match="does not know"):
        await known.get_tenant("ten_9")
    now.moment = Moment(1060.0, 560.0, "b1")
    assert "60 s old" in await known.why_not()
    with pytest.raises(StoreUnavailable, match="60 s old"):
        await known.find([key.digest])
    await known.close()


class Store:
    """A store that answers, or not."""

    def __init__(self, answer: Any = None) -> None:
        self.is_up = True
        self.answer = answer
        self.asked = 0

    async def find(self, digests: Sequence[bytes]) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def get_tenant(self, tenant_id: str) -> Any:
        return await self.find([])


async def test_the_store_is_asked_while_it_answers_and_the_snapshot_first_while_not() -> None:
    pair = (a_key(), a_tenant())
    store, known = Store(), Store(pair)
    keys_ = ReservedKeys(store, known)
    assert await keys_.find([b"x"]) is None
    assert known.asked == 0
    store.answer = StoreUnavailable("down")
    assert await keys_.find([b"x"]) == pair
    assert (store.asked, known.asked) == (2, 1)
    store.is_up = False
    known.answer = pair[1]
    assert await keys_.get_tenant("ten_a") == pair[1]
    assert (store.asked, known.asked) == (2, 2)
    known.answer = StoreUnavailable("the snapshot does not know it")
    with pytest.raises(StoreUnavailable, match="down"):
        await keys_.find([b"x"])
    store.answer = None
    assert await keys_.find([b"x"]) is None


def test_unusable_says_why() -> None:
    assert str(Unusable("it is cut off")) == "it is cut off"
