"""Whether a store counts as up: it answers, and takes what is written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore
from gateway.stores.observed import REFUSAL_SECONDS, ObservedStore
from tests.clock import FakeClock


class Moody(MemoryStore):
    """A store that can be read, or written, or not."""

    is_readable = True
    is_writable = True

    async def revision(self) -> int:
        if not self.is_readable:
            raise StoreUnavailable("locked")
        return await super().revision()

    async def touch(self, last_used: Mapping[str, float]) -> None:
        if not self.is_writable:
            raise StoreUnavailable("read-only")
        await super().touch(last_used)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def moody() -> Moody:
    return Moody()


@pytest.fixture
def store(moody: Moody, clock: FakeClock) -> ObservedStore:
    return ObservedStore(moody, clock, lambda operation, seconds: None)


async def refused_write(store: ObservedStore, moody: Moody) -> None:
    moody.is_writable = False
    with pytest.raises(StoreUnavailable):
        await store.touch({})


async def test_a_store_is_up_while_its_last_answer_was_one(
    store: ObservedStore, moody: Moody
) -> None:
    assert store.is_whole
    moody.is_readable = False
    with pytest.raises(StoreUnavailable):
        await store.revision()
    assert not store.is_whole
    moody.is_readable = True
    await store.revision()
    assert store.is_whole


async def test_a_store_that_cannot_be_written_is_down_although_it_can_be_read(
    store: ObservedStore, moody: Moody
) -> None:
    await refused_write(store, moody)
    await store.revision()
    assert store.is_up
    assert not store.is_whole
    moody.is_writable = True
    await store.touch({})
    assert store.is_whole


async def test_a_write_that_failed_once_does_not_count_for_ever(
    store: ObservedStore, moody: Moody, clock: FakeClock
) -> None:
    await refused_write(store, moody)
    await store.revision()
    clock.advance(REFUSAL_SECONDS - 1)
    assert not store.is_whole
    clock.advance(1)
    assert store.is_whole
