from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.domain.keys import KeyRecord
from gateway.ports import Conflict, StoreUnavailable
from gateway.stores.rekeying import WAITING_MAX, Rekeying
from tests.key_samples import a_key


class Act:
    """What re-keying does: remembers, and fails as told."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bytes]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.done.append((record.key_id, digest))


async def test_offered_keys_are_rekeyed_in_the_background() -> None:
    act = Act()
    rekeying = Rekeying(act)
    rekeying.offer(a_key("key_a"), b"1", "p1")
    rekeying.offer(a_key("key_b"), b"2", "p1")
    assert act.done == []  # whoever offers does not wait
    await rekeying.settle()
    assert sorted(act.done) == [("key_a", b"1"), ("key_b", b"2")]
    rekeying.offer(a_key("key_c"), b"3", "p1")
    await rekeying.settle()
    assert len(act.done) == 3


async def test_a_key_that_changed_meanwhile_is_left_alone_and_the_others_go_on() -> None:
    act = Act()
    rekeying = Rekeying(act)
    act.error = Conflict("changed")
    rekeying.offer(a_key("key_a"), b"1", "p1")
    await rekeying.settle()
    act.error = None
    rekeying.offer(a_key("key_b"), b"2", "p1")
    await rekeying.settle()
    assert act.done == [("key_b", b"2")]


async def test_an_outage_ends_the_round_and_is_logged_without_a_digest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    act = Act()
    act.error = StoreUnavailable("gone")
    rekeying = Rekeying(act)
    with caplog.at_level(logging.WARNING):
        for number in range(10):
            rekeying.offer(a_key(f"key_{number}"), b"digest", "p1")
        await rekeying.settle()
    assert [record.getMessage() for record in caplog.records] == ["re-keying stopped: gone"]


async def test_the_queue_is_bounded() -> None:
    act = Act()
    act.gate.clear()
    rekeying = Rekeying(act)
    for number in range(WAITING_MAX + 100):
        rekeying.offer(a_key(f"key_{number}"), b"1", "p1")
    act.gate.set()
    await rekeying.settle()
    assert len(act.done) == WAITING_MAX


async def test_closing_finishes_the_act_under_way_and_drops_the_rest() -> None:
    act = Act()
    act.gate.clear()
    rekeying = Rekeying(act)
    for number in range(10):
        rekeying.offer(a_key(f"key_{number}"), b"1", "p1")
    await asyncio.sleep(0)
    act.gate.set()
    await rekeying.close()
    assert len(act.done) == 1
    await Rekeying(act).close()
