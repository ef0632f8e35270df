from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.digest import Peppers
from gateway.domain.keys import BoundKey, KeyRecord, KeyState
from gateway.domain.tenants import Tenant
from gateway.ports import StoreUnavailable
from gateway.stores.cached import MISS, READS_MAX, CachedKeys, Lookups
from gateway.stores.memory import MemoryStore
from gateway.stores.remembered import Remembered
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant, bound

PEPPERS = Peppers("p2", {"p1": b"1" * 32, "p2": b"2" * 32})
TTL = 5.0


class SlowStore(MemoryStore):
    """Answers a look-up with what it held when asked, but only when `gate` is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()
        self.finds = 0
        self.is_down = False

    async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
        self.finds += 1
        found = await super().find(digests)
        self.reading.set()
        await self.gate.wait()
        if self.is_down:
            raise StoreUnavailable("gone")
        return found


@pytest.fixture
async def store() -> SlowStore:
    store = SlowStore()
    await store.save_tenant(a_tenant())
    return store


def _cached(store: SlowStore, clock: FakeClock | None = None, size_max: int = 100) -> CachedKeys:
    return CachedKeys(
        store,
        PEPPERS,
        bound,
        clock or FakeClock(),
        size_max=size_max,
        negative_ttl_seconds=TTL,
    )


def _digests(token: str) -> tuple[tuple[str, bytes], ...]:
    return PEPPERS.digests(token.encode())


async def _saved(store: SlowStore, token: str, **changes: object) -> KeyRecord:
    pepper_id, digest = _digests(token)[0]
    changes = {"key_id": f"key_{token}", "pepper_id": pepper_id, "digest": digest, **changes}
    return await store.save_key(a_key(**changes))  # type: ignore[arg-type]


def _current(token: str) -> bytes:
    return _digests(token)[0][1]


def _key_id(key: object) -> str:
    assert isinstance(key, BoundKey)
    return key.record.key_id


async def test_a_key_is_read_once_and_then_peeked(store: SlowStore) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    assert keys.peek(_current("a")) is MISS
    assert keys.missing is MISS
    assert _key_id(await keys.find(_digests("a"))) == "key_a"
    assert _key_id(keys.peek(_current("a"))) == "key_a"
    assert _key_id(await keys.find(_digests("a"))) == "key_a"
    assert store.finds == 1


async def test_a_hundred_requests_for_one_key_ask_the_store_once(store: SlowStore) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    found = await asyncio.gather(*(keys.find(_digests("a")) for _ in range(100)))
    assert {_key_id(key) for key in found} == {"key_a"}
    assert store.finds == 1


async def test_a_client_that_goes_away_does_not_fail_those_who_wait_with_it(
    store: SlowStore,
) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    store.gate.clear()
    first, second = (asyncio.create_task(keys.find(_digests("a"))) for _ in range(2))
    await store.reading.wait()
    first.cancel()
    store.gate.set()
    assert _key_id(await second) == "key_a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_unknown_key_is_remembered_until_its_time_is_over(store: SlowStore) -> None:
    clock = FakeClock()
    keys = _cached(store, clock)
    assert await keys.find(_digests("x")) is None
    assert keys.peek(_current("x")) is None
    assert await keys.find(_digests("x")) is None
    assert store.finds == 1
    clock.advance(TTL)
    assert keys.peek(_current("x")) is MISS


async def test_any_change_makes_unknown_keys_worth_asking_again(store: SlowStore) -> None:
    keys = _cached(store)
    assert await keys.find(_digests("a")) is None
    await _saved(store, "a")
    keys.invalidate(["key_a"])
    assert _key_id(await keys.find(_digests("a"))) == "key_a"


async def test_a_revoked_key_stops_at_once(store: SlowStore) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    await keys.find(_digests("a"))
    await _saved(store, "a", state=KeyState.REVOKED)
    keys.invalidate(["key_a"])
    assert keys.peek(_current("a")) is MISS
    again = await keys.find(_digests("a"))
    assert again is not None
    assert again.record.state is KeyState.REVOKED


async def test_a_changed_tenant_drops_all_its_keys_and_no_other(store: SlowStore) -> None:
    keys = _cached(store)
    await store.save_tenant(a_tenant("ten_b"))
    for token, tenant_id in (("a", "ten_a"), ("b", "ten_a"), ("c", "ten_b")):
        await _saved(store, token, tenant_id=tenant_id)
        await keys.find(_digests(token))
    keys.invalidate(["key_a", "ten_a", "ten_unknown"])
    assert [keys.peek(_current(token)) is MISS for token in "abc"] == [True, True, False]
    keys.invalidate_all()
    assert keys.peek(_current("c")) is MISS


async def test_a_look_up_overtaken_by_a_revocation_answers_with_the_revoked_key(
    store: SlowStore,
) -> None:
    """The old record is already read when the key is revoked: it must be neither used nor kept."""
    keys = _cached(store)
    await _saved(store, "a")
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    await _saved(store, "a", state=KeyState.REVOKED)
    keys.invalidate(["key_a"])
    joined = asyncio.create_task(keys.find(_digests("a")))
    await asyncio.sleep(0)
    store.gate.set()
    for answer in (await looking, await joined, keys.peek(_current("a"))):
        assert isinstance(answer, BoundKey)
        assert answer.record.state is KeyState.REVOKED
    assert store.finds == 2


@pytest.mark.parametrize("overtaken_by", ["tenant", "all"])
async def test_a_look_up_overtaken_by_its_tenant_or_the_config_reads_again(
    store: SlowStore, overtaken_by: str
) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    await store.save_tenant(a_tenant(is_suspended=True))
    if overtaken_by == "tenant":
        keys.invalidate(["ten_a"])
    else:
        keys.invalidate_all()
    store.gate.set()
    answer = await looking
    assert answer is not None
    assert answer.tenant.is_suspended


async def test_a_look_up_is_not_disturbed_by_changes_of_other_keys(store: SlowStore) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    keys.invalidate(["key_other"])
    store.gate.set()
    assert _key_id(await looking) == "key_a"
    assert store.finds == 1


async def test_a_key_that_is_created_while_it_is_looked_up_is_found(store: SlowStore) -> None:
    keys = _cached(store)
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    await _saved(store, "a")
    keys.invalidate(["key_a"])
    store.gate.set()
    assert _key_id(await looking) == "key_a"


async def test_a_revocation_between_answer_and_waking_up_is_not_missed(store: SlowStore) -> None:
    """The answer has landed, the waiting request has not run yet: it must not use that answer."""
    keys = _cached(store)
    await _saved(store, "a")
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    flight = keys.lookups._flights[tuple(digest for _, digest in _digests("a"))]
    flight.add_done_callback(lambda _: keys.invalidate(["key_a"]))
    await _saved(store, "a", name="Newer")  # committed, and told only in the callback above
    store.gate.set()
    answer = await looking
    assert answer is not None
    assert answer.record.name == "Newer"
    assert store.finds == 2


async def test_an_answer_that_was_overtaken_as_it_landed_is_asked_for_again(
    store: SlowStore,
) -> None:
    """The look-up is done and nobody was told yet; its answer is void, and who comes now must not be refused."""
    await _saved(store, "a")
    loop = asyncio.get_running_loop()
    late: list[Coroutine[Any, Any, BoundKey | None]] = []

    def come() -> None:
        keys.invalidate(["key_a"])
        late.append(keys.find(_digests("a")))
        assert late[0].send(None) is not None  # it waits; a refusal would be raised here

    def bind(record: KeyRecord, tenant: Tenant) -> BoundKey:
        if not late:
            loop.call_soon(come)
        return bound(record, tenant)

    keys = CachedKeys(store, PEPPERS, bind, FakeClock(), size_max=9, negative_ttl_seconds=TTL)
    assert _key_id(await keys.find(_digests("a"))) == "key_a"
    late[0].close()
    await keys.close()
    assert store.finds == 2


async def test_a_key_that_never_holds_still_is_refused_not_guessed(store: SlowStore) -> None:
    keys = _cached(store)
    record = await _saved(store, "a")

    class Restless(SlowStore):
        async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
            self.finds += 1
            keys.invalidate([record.key_id])
            return await store.find(digests)

    restless = Restless()
    keys.lookups._store = restless
    with pytest.raises(StoreUnavailable):
        await keys.find(_digests("a"))
    assert restless.finds == READS_MAX


@pytest.mark.pure
async def test_a_key_that_changes_at_each_waking_up_is_refused_not_guessed(
    store: SlowStore,
) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    landed = keys.lookups._landed

    def restless(digests: Sequence[bytes], flight: asyncio.Task[Any]) -> None:
        landed(digests, flight)
        keys.invalidate(["key_a"])

    keys.lookups._landed = restless  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await keys.find(_digests("a"))
    assert store.finds == READS_MAX


async def test_an_outage_is_told_and_nothing_is_remembered(store: SlowStore) -> None:
    keys = _cached(store)
    await _saved(store, "a")
    store.is_down = True
    with pytest.raises(StoreUnavailable):
        await keys.find(_digests("a"))
    assert keys.peek(_current("a")) is MISS
    store.is_down = False
    assert _key_id(await keys.find(_digests("a"))) == "key_a"


async def test_an_outage_that_nobody_waits_for_is_no_stray_error(store: SlowStore) -> None:
    keys = _cached(store)
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    store.is_down = True
    flight = keys.lookups._flights[tuple(digest for _, digest in _digests("a"))]
    store.gate.set()
    await asyncio.wait((flight,))
    await asyncio.sleep(0)
    assert not keys.lookups._flights


async def test_closing_ends_the_look_ups_under_way(store: SlowStore) -> None:
    keys = _cached(store)
    store.gate.clear()
    looking = asyncio.create_task(keys.find(_digests("a")))
    await store.reading.wait()
    await keys.close()
    with pytest.raises(asyncio.CancelledError):
        await looking


async def test_a_record_with_another_digest_than_asked_for_is_no_key(store: SlowStore) -> None:
    class Lying(SlowStore):
        async def find(self, digests: Sequence[bytes]) -> tuple[KeyRecord, Tenant] | None:
            return a_key(), a_tenant()

    assert await _cached(Lying()).find(_digests("a")) is None


async def test_a_flood_of_unknown_keys_pushes_out_no_key(store: SlowStore) -> None:
    keys = _cached(store, size_max=10)
    await _saved(store, "a")
    await keys.find(_digests("a"))
    for number in range(100):
        await keys.find(_digests(f"made-up-{number}"))
    assert _key_id(keys.peek(_current("a"))) == "key_a"
    assert len(keys._memory._unknown) + len(keys._memory._unknown_old) <= 10


async def test_a_key_in_use_stays_while_others_come_and_go(store: SlowStore) -> None:
    keys = _cached(store, size_max=10)
    for number in range(100):
        await _saved(store, str(number))
    await keys.find(_digests("0"))
    for number in range(1, 100):
        await keys.find(_digests(str(number)))
        assert _key_id(keys.peek(_current("0"))) == "key_0"
    assert keys.peek(_current("50")) is MISS


async def test_a_dropped_key_leaves_nothing_behind(store: SlowStore) -> None:
    keys = _cached(store)
    for number in range(50):
        await _saved(store, str(number))
        await keys.find(_digests(str(number)))
        keys.invalidate([f"key_{number}"])
    generation = keys._memory._young
    assert (generation.keys, generation._digests, generation._by_tenant) == ({}, {}, {})


async def test_a_key_under_an_old_pepper_is_offered_for_rekeying_once_loaded(
    store: SlowStore,
) -> None:
    offered: list[tuple[str, bytes]] = []
    keys = CachedKeys(
        store,
        PEPPERS,
        bound,
        FakeClock(),
        size_max=10,
        negative_ttl_seconds=TTL,
        rekey=lambda record, digest: offered.append((record.key_id, digest)),
    )
    await _saved(store, "new")
    await _saved(store, "old", pepper_id="p1", digest=_digests("old")[1][1])
    for token in ("new", "old", "old"):
        assert _key_id(await keys.find(_digests(token))) == f"key_{token}"
    assert offered == [("key_old", _current("old"))]


@given(
    st.lists(st.tuples(st.sampled_from("fid"), st.integers(0, 11)), max_size=60),
    st.integers(2, 8),
)
def test_memory_is_bounded_and_never_wrong(acts: list[tuple[str, int]], size_max: int) -> None:
    """Find, invalidate and rename in any order: what is peeked is what the store holds."""

    async def run() -> None:
        store = SlowStore()
        await store.save_tenant(a_tenant())
        keys = _cached(store, size_max=size_max)
        for number in range(6):
            await _saved(store, str(number))
        for act, number in acts:
            token = str(number)
            if act == "f":
                await keys.find(_digests(token))
            elif act == "i":
                keys.invalidate([f"key_{token}"])
            else:
                await _saved(store, token, name=f"Renamed {len(acts)}")
                keys.invalidate([f"key_{token}"])
            assert len(keys._memory._young.keys | keys._memory._old.keys) <= size_max
            for each in range(12):
                known = keys.peek(_current(str(each)))
                if known is not MISS:
                    truth = await store.get_key(f"key_{each}")
                    assert (known.record if known else None) == truth

    asyncio.run(run())


async def test_a_key_at_rest_is_bound_again_without_asking_the_store(store: SlowStore) -> None:
    clock = FakeClock()
    lookups = Lookups(store, Remembered(clock.monotonic, 100, TTL, bound_max=4))
    keys = CachedKeys(
        store, PEPPERS, bound, clock, size_max=100, negative_ttl_seconds=TTL, lookups=lookups
    )
    lookups.current = keys
    tokens = [f"t{n}" for n in range(20)]
    for token in tokens:
        await _saved(store, token)
        await keys.find(_digests(token))
    assert [_key_id(keys.peek(_current(token))) for token in tokens] == [
        f"key_{token}" for token in tokens
    ]
    assert store.finds == len(tokens)


async def test_a_key_that_changed_at_rest_is_read_anew(store: SlowStore) -> None:
    clock = FakeClock()
    lookups = Lookups(store, Remembered(clock.monotonic, 100, TTL, bound_max=4))
    keys = CachedKeys(
        store, PEPPERS, bound, clock, size_max=100, negative_ttl_seconds=TTL, lookups=lookups
    )
    lookups.current = keys
    for token in (tokens := [f"t{n}" for n in range(20)]):
        await _saved(store, token)
        await keys.find(_digests(token))
    keys.invalidate(["key_t0"])
    assert keys.peek(_current(tokens[0])) is MISS
