"""Memory answers only while the lease holds; after that the store is asked about every request."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.keys import BoundKey, KeyKind, KeyRecord, KeyState
from gateway.domain.nodes import Lease
from gateway.domain.tenants import Tenant
from gateway.eager import start
from gateway.ports import StoreUnavailable
from gateway.stores.acting import ActingKeys, TenantLookups
from gateway.stores.cached import MISS, CachedKeys
from gateway.stores.fenced import FencedActing, FencedKeys
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant
from tests.stores.test_acting import SlowStore as SlowTenants
from tests.stores.test_acting import a_partner_key, act
from tests.stores.test_cached import PEPPERS, SlowStore, _cached, _current, _digests, _saved


class Fence:
    """Keys behind a fence, its lease and its clock."""

    def __init__(self, store: SlowStore) -> None:
        self.store = store
        self.clock = FakeClock(monotonic=100.0)
        self.lease = Lease(110.0)
        self.memory: CachedKeys = _cached(store, self.clock)
        self.keys = FencedKeys(self.memory, self.lease, self.clock.monotonic)

    def run_out(self) -> None:
        self.clock.advance(10.0)

    def regain(self) -> None:
        """What a gateway does when it reaches the store again."""
        self.memory.invalidate_all()
        self.lease.until = self.clock.monotonic() + 10.0

    async def find(self, token: str) -> BoundKey | None:
        return await self.keys.find(_digests(token))


@pytest.fixture
async def fence() -> Fence:
    store = SlowStore()
    await store.save_tenant(a_tenant())
    await _saved(store, "a")
    return Fence(store)


async def test_while_the_lease_holds_memory_answers(fence: Fence) -> None:
    key = await fence.find("a")
    assert fence.keys.peek(_current("a")) is key
    assert await fence.find("a") is key
    assert await fence.find("unknown") is None
    assert fence.keys.peek(_current("unknown")) is None
    assert fence.store.finds == 2


async def test_once_it_has_run_out_nothing_is_remembered_and_the_store_is_asked_each_time(
    fence: Fence,
) -> None:
    key = await fence.find("a")
    await fence.find("unknown")
    fence.run_out()
    assert fence.keys.peek(_current("a")) is MISS
    assert fence.keys.peek(_current("unknown")) is MISS
    for count in (3, 4):
        assert await fence.find("a") is key  # unchanged: what depends on it still fits
        assert fence.store.finds == count
    assert await fence.find("unknown") is None


async def test_a_change_that_was_not_heard_of_counts_as_soon_as_the_lease_has_run_out(
    fence: Fence,
) -> None:
    before = await fence.find("a")
    assert before is not None
    await fence.store.save_key(replace(before.record, state=KeyState.REVOKED))
    fence.run_out()
    after = await fence.find("a")
    assert after is not None
    assert after.record.state is KeyState.REVOKED


@pytest.mark.parametrize("is_known", [True, False])
async def test_without_the_store_known_keys_are_refused_as_unknown_ones_are(
    fence: Fence, is_known: bool
) -> None:
    if is_known:
        await fence.find("a")
    fence.run_out()
    fence.store.is_down = True
    with pytest.raises(StoreUnavailable):
        await fence.find("a")


async def test_a_changed_tenant_is_another_key(fence: Fence) -> None:
    before = await fence.find("a")
    fence.run_out()
    await fence.store.save_tenant(a_tenant(is_suspended=True))
    after = await fence.find("a")
    assert after is not None
    assert after is not before
    assert after.tenant.is_suspended


async def test_that_a_key_was_used_makes_it_no_other(fence: Fence) -> None:
    before = await fence.find("a")
    fence.run_out()
    await fence.store.touch({"key_a": 1_700_000_000.0})
    assert await fence.find("a") is before


async def test_a_key_that_the_store_gives_for_another_digest_is_none(fence: Fence) -> None:
    fence.run_out()

    class Liar(SlowStore):
        async def find(self, digests: object) -> tuple[KeyRecord, Tenant]:
            return a_key("key_x"), a_tenant()

    liar = Fence(Liar())
    liar.run_out()
    assert await liar.find("a") is None


async def test_an_answer_from_before_the_lease_was_taken_up_again_is_remembered_by_nobody(
    fence: Fence,
) -> None:
    before = await fence.find("a")
    assert before is not None
    fence.run_out()
    fence.store.reading.clear()
    fence.store.gate.clear()
    asking = asyncio.create_task(fence.find("a"))
    await fence.store.reading.wait()  # it has read
    await fence.store.save_key(replace(before.record, state=KeyState.REVOKED))
    fence.regain()
    fence.store.gate.set()
    late = await asking
    assert late is not None
    assert late.record.state is KeyState.ACTIVE  # true for whoever asked before the change
    assert fence.keys.peek(_current("a")) is MISS
    found = await fence.find("a")
    assert found is not None
    assert found.record.state is KeyState.REVOKED


async def test_a_request_that_was_told_without_a_task_can_ask(fence: Fence) -> None:
    fence.run_out()
    found: asyncio.Future[BoundKey | None] = asyncio.get_running_loop().create_future()

    async def story() -> None:
        found.set_result(await fence.find("a"))

    start(story(), found.set_exception)
    key = await found
    assert key is not None
    assert key.record.key_id == "key_a"


async def test_questions_that_are_under_way_end_with_the_keys(fence: Fence) -> None:
    fence.run_out()
    fence.store.gate.clear()
    asking = asyncio.create_task(fence.find("a"))
    await fence.store.reading.wait()
    await fence.memory.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_key_for_the_next_configuration_is_bound_by_it() -> None:
    store = SlowStore()
    await store.save_tenant(a_tenant())
    await _saved(store, "a")

    def cannot(record: KeyRecord, tenant: Tenant) -> BoundKey:
        raise LookupError("the next one can")

    memory = _cached(store)
    old = CachedKeys(
        store,
        PEPPERS,
        cannot,
        FakeClock(),
        size_max=9,
        negative_ttl_seconds=1,
        lookups=memory.lookups,
        generation=7,
    )
    found = await old.find_afresh(_digests("a"))
    assert found is not None
    memory.lookups.current = old
    with pytest.raises(LookupError):
        await old.find_afresh(_digests("a"))


# ---- keys that act


class ActingFence:
    """The same for keys as they act for other tenants."""

    def __init__(self) -> None:
        self.store = SlowTenants()
        self.clock = FakeClock(monotonic=100.0)
        self.lease = Lease(110.0)
        self.lookups = TenantLookups(
            self.store, self.clock, asyncio.Lock(), negative_ttl_seconds=5.0
        )
        self.memory = ActingKeys(self.lookups, act)
        self.memory.take_over(5.0)
        self.acting = FencedActing(self.memory, self.lease, self.clock.monotonic)


@pytest.fixture
async def acting() -> ActingFence:
    fence = ActingFence()
    for tenant in (a_tenant(), a_tenant("ten_c", parent_id="ten_a"), a_tenant("ten_x")):
        await fence.store.save_tenant(tenant)
    return fence


async def test_a_key_acts_by_memory_while_the_lease_holds_and_by_the_store_after(
    acting: ActingFence,
) -> None:
    key = a_partner_key()
    assert key.record.kind is KeyKind.MULTI_TENANT
    known = await acting.acting.find(key, "ten_c")
    assert acting.acting.peek(key, "ten_c") is known
    acting.clock.advance(10.0)
    assert not isinstance(acting.acting.peek(key, "ten_c"), BoundKey)
    assert acting.acting.peek(key, "ten_c") is not None
    assert await acting.acting.find(key, "ten_c") is known
    assert acting.store.reads == 2
    await acting.store.save_tenant(a_tenant("ten_c", parent_id="ten_a", is_suspended=True))
    found = await acting.acting.find(key, "ten_c")
    assert found is not None
    assert found.tenant.is_suspended


async def test_whom_a_key_may_not_act_for_is_none_without_a_lease(acting: ActingFence) -> None:
    acting.clock.advance(10.0)
    assert await acting.acting.find(a_partner_key(), "ten_x") is None
    assert await acting.acting.find(a_partner_key(), "ten_nobody") is None


async def test_an_answer_about_a_tenant_that_came_too_late_is_remembered_by_nobody(
    acting: ActingFence,
) -> None:
    key = a_partner_key()
    acting.clock.advance(10.0)
    acting.store.gate.clear()
    asking = asyncio.create_task(acting.memory.find_afresh(key, "ten_c"))
    await acting.store.reading.wait()
    acting.lookups.forget_all()
    acting.lease.until = 1_000.0
    acting.store.gate.set()
    assert await asking is not None
    assert not isinstance(acting.acting.peek(key, "ten_c"), BoundKey)


async def test_questions_about_tenants_end_with_the_keys(acting: ActingFence) -> None:
    acting.clock.advance(10.0)
    acting.store.gate.clear()
    asking = asyncio.create_task(acting.memory.find_afresh(a_partner_key(), "ten_c"))
    await acting.store.reading.wait()
    await acting.lookups.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
