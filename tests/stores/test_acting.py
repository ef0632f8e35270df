from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.keys import BoundKey, KeyKind
from gateway.domain.tenants import Tenant
from gateway.ports import StoreUnavailable
from gateway.stores.acting import MISS, READS_MAX, ActingKeys, TenantLookups
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant, bound

TTL = 5.0


class SlowStore(MemoryStore):
    """Answers with what it held when asked, but only when `gate` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()
        self.reads = 0
        self.is_down = False

    async def get_tenant(self, tenant_id: str) -> Tenant | None:
        self.reads += 1
        found = await super().get_tenant(tenant_id)
        self.reading.set()
        await self.gate.wait()
        if self.is_down:
            raise StoreUnavailable("gone")
        return found


def act(key: BoundKey, tenant: Tenant) -> BoundKey:
    return BoundKey(
        record=key.record,
        tenant=tenant,
        owner=key.owner,
        scopes=key.scopes,
        allowlists=(),
        claims=(),
        identity=b"",
    )


def a_partner_key(key_id: str = "key_a", *tenants: str) -> BoundKey:
    record = a_key(key_id, kind=KeyKind.MULTI_TENANT, tenants=tenants)
    return bound(record, a_tenant())


class House:
    """The memory over a store with a partner's child and two strangers."""

    def __init__(self, size_max: int = 100) -> None:
        self.clock = FakeClock()
        self.store = SlowStore()
        self.settling = asyncio.Lock()
        self.lookups = TenantLookups(
            self.store, self.clock, self.settling, negative_ttl_seconds=TTL, size_max=size_max
        )
        self.acting = ActingKeys(self.lookups, act)
        self.acting.take_over(TTL)


@pytest.fixture
async def house() -> House:
    house = House()
    for tenant in (
        a_tenant("ten_a"),
        a_tenant("ten_c", parent_id="ten_a"),
        a_tenant("ten_d", parent_id="ten_a"),
        a_tenant("ten_l"),
        a_tenant("ten_x"),
    ):
        await house.store.save_tenant(tenant)
    return house


def _tenant_of(found: object) -> str:
    assert isinstance(found, BoundKey)
    return found.tenant.tenant_id


async def test_iv_14_a_key_acts_for_a_child_and_is_read_once(house: House) -> None:
    key = a_partner_key()
    assert house.acting.peek(key, "ten_c") is MISS
    found = await house.acting.find(key, "ten_c")
    assert _tenant_of(found) == "ten_c"
    assert found is not None
    assert found.owner.tenant_id == "ten_a"
    assert house.acting.peek(key, "ten_c") is found
    assert await house.acting.find(key, "ten_c") is found
    assert house.store.reads == 1


async def test_iv_35_strangers_and_tenants_that_do_not_exist_are_the_same_nobody(
    house: House,
) -> None:
    key = a_partner_key("key_a", "ten_l")
    assert _tenant_of(await house.acting.find(key, "ten_l")) == "ten_l"
    for nobody in ("ten_x", "ten_none"):
        assert await house.acting.find(key, nobody) is None
        assert house.acting.peek(key, nobody) is None
    assert house.store.reads == 3


async def test_that_a_key_may_not_act_is_remembered_for_a_while_only(house: House) -> None:
    key = a_partner_key()
    assert await house.acting.find(key, "ten_none") is None
    house.clock.advance(TTL - 0.1)
    assert house.acting.peek(key, "ten_none") is None
    house.clock.advance(0.1)
    assert house.acting.peek(key, "ten_none") is MISS


async def test_that_a_key_may_act_stays_true_until_something_changes(house: House) -> None:
    key = a_partner_key()
    found = await house.acting.find(key, "ten_c")
    house.clock.advance(1e6)
    assert house.acting.peek(key, "ten_c") is found


async def test_a_hundred_requests_for_one_tenant_ask_the_store_once(house: House) -> None:
    keys = [a_partner_key(f"key_{n}") for n in range(10)]
    found = await asyncio.gather(*(house.acting.find(key, "ten_c") for key in keys * 10))
    assert {_tenant_of(each) for each in found} == {"ten_c"}
    assert len({id(each) for each in found}) == 10  # bound once for each key
    assert house.store.reads == 1


async def test_a_client_that_goes_away_does_not_fail_those_who_wait_with_it(house: House) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    first, second = (asyncio.create_task(house.acting.find(key, "ten_c")) for _ in range(2))
    await house.store.reading.wait()
    first.cancel()
    house.store.gate.set()
    assert _tenant_of(await second) == "ten_c"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_key_that_was_replaced_is_bound_anew(house: House) -> None:
    old, new = a_partner_key("key_a", "ten_l"), a_partner_key("key_a")
    assert _tenant_of(await house.acting.find(old, "ten_l")) == "ten_l"
    assert house.acting.peek(new, "ten_l") is MISS
    assert await house.acting.find(new, "ten_l") is None


async def test_a_changed_tenant_is_forgotten_and_no_other(house: House) -> None:
    key = a_partner_key()
    before = [await house.acting.find(key, each) for each in ("ten_c", "ten_d")]
    house.lookups.forget(["ten_c", "ten_unknown"])
    assert house.acting.peek(key, "ten_c") is MISS
    assert house.acting.peek(key, "ten_d") is before[1]
    house.lookups.forget_all()
    assert house.acting.peek(key, "ten_d") is MISS


async def test_a_tenant_that_came_to_be_is_found_as_soon_as_that_is_told(house: House) -> None:
    key = a_partner_key()
    assert await house.acting.find(key, "ten_new") is None
    await house.store.save_tenant(a_tenant("ten_new", parent_id="ten_a"))
    house.lookups.forget(["ten_new"])
    assert _tenant_of(await house.acting.find(key, "ten_new")) == "ten_new"


async def test_iv_14_a_tenant_suspended_while_it_is_read_is_never_served_as_it_was(
    house: House,
) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    waiting = asyncio.create_task(house.acting.find(key, "ten_c"))
    await house.store.reading.wait()  # it has been read, and is on its way
    await house.store.save_tenant(a_tenant("ten_c", parent_id="ten_a", is_suspended=True))
    house.lookups.forget(["ten_c"])
    house.store.gate.set()
    found = await waiting
    assert found is not None
    assert found.tenant.is_suspended
    assert house.store.reads == 2
    assert house.acting.peek(key, "ten_c") is found


async def test_iv_14_a_tenant_suspended_while_whoever_waited_is_woken_is_not_served_as_it_was(
    house: House,
) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    waiting = asyncio.create_task(house.acting.find(key, "ten_c"))
    await house.store.reading.wait()
    (flight,) = house.lookups._flights.values()
    await house.store.save_tenant(a_tenant("ten_c", parent_id="ten_a", is_suspended=True))
    # The read has landed; who waits for it has its turn in the next round of the loop.
    flight.add_done_callback(lambda _: house.lookups.forget(["ten_c"]))
    house.store.gate.set()
    found = await waiting
    assert found is not None
    assert found.tenant.is_suspended


async def test_everything_forgotten_overtakes_a_read_as_well(house: House) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    waiting = asyncio.create_task(house.acting.find(key, "ten_c"))
    await house.store.reading.wait()
    house.lookups.forget_all()
    house.store.gate.set()
    assert _tenant_of(await waiting) == "ten_c"
    assert house.store.reads == 2


async def test_a_change_of_another_tenant_costs_no_second_read(house: House) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    waiting = asyncio.create_task(house.acting.find(key, "ten_c"))
    await house.store.reading.wait()
    house.lookups.forget(["ten_d"])
    house.store.gate.set()
    assert _tenant_of(await waiting) == "ten_c"
    assert house.store.reads == 1


async def test_a_tenant_that_is_never_the_same_twice_serves_nobody(house: House) -> None:
    class Restless(SlowStore):
        async def get_tenant(self, tenant_id: str) -> Tenant | None:
            house.lookups.forget([tenant_id])
            return await super().get_tenant(tenant_id)

    store = Restless()
    house.lookups._store = store
    with pytest.raises(StoreUnavailable, match="changes faster"):
        await house.acting.find(a_partner_key(), "ten_c")
    assert store.reads == READS_MAX


async def test_changes_that_never_cease_serve_nobody(house: House) -> None:
    read = house.lookups.read

    async def overtaken(tenant_id: str) -> tuple[Tenant | None, int]:
        tenant, revision = await read(tenant_id)
        house.lookups.forget(["ten_d"])
        return tenant, revision

    house.lookups.read = overtaken  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="changes faster"):
        await house.acting.find(a_partner_key(), "ten_c")


async def test_a_store_that_is_down_is_told_and_not_remembered(house: House) -> None:
    key = a_partner_key()
    house.store.is_down = True
    with pytest.raises(StoreUnavailable):
        await house.acting.find(key, "ten_c")
    house.store.is_down = False
    assert _tenant_of(await house.acting.find(key, "ten_c")) == "ten_c"


async def test_closing_ends_what_is_under_way(house: House) -> None:
    house.store.gate.clear()
    waiting = asyncio.create_task(house.acting.find(a_partner_key(), "ten_c"))
    await house.store.reading.wait()
    await house.lookups.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# ---- configurations


async def test_a_tenant_meant_for_the_next_configuration_is_bound_by_it(house: House) -> None:
    def cannot(key: BoundKey, tenant: Tenant) -> BoundKey:
        raise LookupError("plan 'new' is not declared")

    before = ActingKeys(house.lookups, cannot)
    before.take_over(TTL)
    key = a_partner_key()
    with pytest.raises(LookupError):
        await before.find(key, "ten_c")  # there is no other one
    await house.settling.acquire()
    waiting = asyncio.create_task(before.find(key, "ten_c"))
    await asyncio.sleep(0)
    house.acting.take_over(TTL)
    house.settling.release()
    assert _tenant_of(await waiting) == "ten_c"


# ---- bounds


async def test_the_pairs_used_last_are_kept_and_never_more_than_allowed() -> None:
    house = House(size_max=4)
    key = a_partner_key("key_a", *(f"ten_{n}" for n in range(10)))
    for n in range(10):
        await house.store.save_tenant(a_tenant(f"ten_{n}"))
    first = await house.acting.find(key, "ten_0")
    for n in range(1, 10):
        await house.acting.find(key, f"ten_{n}")
        assert house.acting.peek(key, "ten_0") is first  # it is in use
    kept = {
        (tenant, key_id)
        for half in (house.lookups._young, house.lookups._old)
        for tenant, keys in half.items()
        for key_id in keys
    }
    assert len(kept) <= 4


@given(
    st.lists(st.tuples(st.sampled_from("kpf"), st.integers(0, 3), st.integers(0, 6)), max_size=60)
)
def test_what_is_remembered_is_never_wrong(steps: list[tuple[str, int, int]]) -> None:
    """A peek tells what was kept last for the pair, unless it was forgotten since: that, or nothing."""
    keys = [a_partner_key(f"key_{n}") for n in range(4)]

    async def play() -> None:
        house = House(size_max=8)
        model: dict[tuple[int, str], BoundKey] = {}
        for what, n, m in steps:
            key, tenant_id = keys[n], f"ten_{m}"
            if what == "k":
                made = act(key, a_tenant(tenant_id))
                house.lookups.keep(key, tenant_id, made)
                model[n, tenant_id] = made
            elif what == "f":
                house.lookups.forget([tenant_id])
                model = {pair: each for pair, each in model.items() if pair[1] != tenant_id}
            found = house.acting.peek(key, tenant_id)
            assert found is MISS or found is model.get((n, tenant_id))
            if what == "k":
                assert found is model[n, tenant_id]
            entries = sum(len(each) for each in house.lookups._young.values())
            assert entries == house.lookups._count <= 4

    asyncio.run(play())


async def test_several_tenants_are_read_at_the_same_time(house: House) -> None:
    key = a_partner_key()
    house.store.gate.clear()
    waiting = [asyncio.create_task(house.acting.find(key, each)) for each in ("ten_c", "ten_d")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert house.store.reads == 2
    house.store.gate.set()
    assert [_tenant_of(await each) for each in waiting] == ["ten_c", "ten_d"]


async def test_an_answer_of_which_nobody_was_told_yet_is_asked_for_again(house: House) -> None:
    async def landed() -> tuple[Tenant | None, int]:
        return None, 0

    old = asyncio.create_task(landed())
    await old
    house.lookups._flights["ten_c"] = old
    house.store.gate.clear()
    waiting = asyncio.create_task(house.lookups.read("ten_c"))
    await house.store.reading.wait()
    house.lookups._landed("ten_c", old)  # told late: that takes nothing away from the new one
    house.store.gate.set()
    tenant, _ = await waiting
    assert tenant is not None
