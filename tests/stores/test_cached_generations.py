"""Two configurations share one memory of keys, and never each other's bound keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.digest import Peppers
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.cached import MISS, CachedKeys
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant
from tests.stores.test_cached import SlowStore

ONE = Peppers("p1", {"p1": b"1" * 32})
BOTH = Peppers("p2", {"p2": b"2" * 32, "p1": b"1" * 32})


class Binding:
    """Binds for one generation, and counts."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.bound = 0

    def __call__(self, record: KeyRecord, tenant: Tenant) -> BoundKey:
        self.bound += 1
        return BoundKey(
            record=record,
            tenant=tenant,
            scopes=frozenset({f"generation:{self.generation}"}),
            allowlists=(),
            claims=(),
            identity=b"",
            generation=self.generation,
        )


class Home:
    """A store with one key, and what makes the keys of a generation."""

    def __init__(self) -> None:
        self.store = SlowStore()
        self.clock = FakeClock()
        self.bindings: dict[int, Binding] = {}
        self.rekeyed: list[str] = []

    async def fill(self, peppers: Peppers = ONE) -> None:
        await self.store.save_tenant(a_tenant())
        digest, pepper_id = peppers.digest(b"t"), peppers.current
        await self.store.save_key(a_key(digest=digest, pepper_id=pepper_id))

    def keys(
        self,
        generation: int,
        before: CachedKeys | None = None,
        peppers: Peppers = ONE,
        size_max: int = 10,
    ) -> CachedKeys:
        binding = self.bindings[generation] = Binding(generation)
        return CachedKeys(
            self.store,
            peppers,
            binding,
            self.clock,
            size_max=size_max,
            negative_ttl_seconds=5,
            rekey=lambda record, _: self.rekeyed.append(record.key_id),
            generation=generation,
            lookups=None if before is None else before.lookups,
        )


@pytest.fixture
async def home() -> Home:
    home = Home()
    await home.fill()
    return home


def generation_of(key: object) -> int:
    assert isinstance(key, BoundKey)
    assert key.scopes == {f"generation:{key.generation}"}
    return key.generation


def digests(peppers: Peppers = ONE) -> tuple[tuple[str, bytes], ...]:
    return peppers.digests(b"t")


def digest(peppers: Peppers = ONE) -> bytes:
    return peppers.digest(b"t")


async def test_a_key_stays_in_memory_and_is_bound_anew_once(home: Home) -> None:
    old = home.keys(1)
    assert generation_of(await old.find(digests())) == 1
    new = home.keys(2, old)
    new.take_over()
    for _ in range(3):
        assert generation_of(new.peek(digest())) == 2
    assert home.bindings[2].bound == 1
    assert home.store.finds == 1


async def test_a_request_of_the_old_configuration_never_gets_a_key_of_the_new_one(
    home: Home,
) -> None:
    old = home.keys(1)
    new = home.keys(2, old)
    new.take_over()
    assert generation_of(await new.find(digests())) == 2
    assert generation_of(old.peek(digest())) == 1
    assert generation_of(await old.find(digests())) == 1
    assert generation_of(new.peek(digest())) == 2
    assert home.bindings[2].bound == 1  # the old one put nothing in its place


async def test_a_look_up_that_began_before_the_reload_serves_both_each_with_its_own(
    home: Home,
) -> None:
    old = home.keys(1)
    home.store.gate.clear()
    first = asyncio.create_task(old.find(digests()))
    await home.store.reading.wait()
    new = home.keys(2, old)
    new.take_over()
    second = asyncio.create_task(new.find(digests()))
    await asyncio.sleep(0)
    home.store.gate.set()
    assert generation_of(await first) == 1
    assert generation_of(await second) == 2
    assert generation_of(new.peek(digest())) == 2


async def test_an_invalidation_reaches_the_keys_of_every_generation(home: Home) -> None:
    old = home.keys(1)
    new = home.keys(2, old)
    new.take_over()
    await new.find(digests())
    old.invalidate(["key_a"])
    assert new.peek(digest()) is MISS
    assert old.peek(digest()) is MISS


async def test_a_pepper_that_left_finds_no_key_though_it_was_in_memory(home: Home) -> None:
    old = home.keys(1, peppers=BOTH)
    assert generation_of(await old.find(digests(BOTH))) == 1
    assert home.rekeyed == ["key_a"]
    only = Peppers("p2", {"p2": b"2" * 32})
    new = home.keys(2, old, peppers=only)
    new.take_over()
    assert await new.find(digests(only)) is None


async def test_a_late_look_up_under_a_pepper_that_left_does_not_bring_the_key_back(
    home: Home,
) -> None:
    old = home.keys(1, peppers=BOTH)
    home.store.gate.clear()
    late = asyncio.create_task(old.find(digests(BOTH)))
    await home.store.reading.wait()
    only = Peppers("p2", {"p2": b"2" * 32})
    new = home.keys(2, old, peppers=only)
    new.take_over()
    home.store.gate.set()
    assert generation_of(await late) == 1  # it began when the pepper still counted
    assert new.peek(digest(only)) is MISS
    assert await new.find(digests(only)) is None


async def test_a_new_pepper_finds_keys_that_were_unknown_a_moment_ago(home: Home) -> None:
    only = Peppers("p2", {"p2": b"2" * 32})
    old = home.keys(1, peppers=only)
    assert await old.find(digests(only)) is None
    new = home.keys(2, old, peppers=BOTH)
    new.take_over()
    assert generation_of(await new.find(digests(BOTH))) == 2


async def test_a_late_look_up_under_fewer_peppers_makes_no_key_unknown(home: Home) -> None:
    only = Peppers("p2", {"p2": b"2" * 32})
    old = home.keys(1, peppers=only)
    home.store.gate.clear()
    late = asyncio.create_task(old.find(digests(only)))
    await home.store.reading.wait()
    new = home.keys(2, old, peppers=BOTH)
    new.take_over()
    home.store.gate.set()
    assert await late is None
    assert new.peek(digest(BOTH)) is MISS
    assert generation_of(await new.find(digests(BOTH))) == 2


async def test_before_it_takes_over_a_generation_remembers_nothing(home: Home) -> None:
    old = home.keys(1)
    new = home.keys(2, old)
    assert generation_of(await new.find(digests())) == 2
    assert old.peek(digest()) is MISS


async def test_the_size_of_the_memory_may_change(home: Home) -> None:
    old = home.keys(1)
    for number in range(8):
        token = str(number).encode()
        await home.store.save_key(a_key(f"key_{number}", digest=ONE.digest(token)))
        await old.find(ONE.digests(token))
    new = home.keys(2, old, size_max=2)
    new.take_over()
    known = 8
    for number in range(8):
        await new.find(ONE.digests(str(number).encode()))
        known = sum(new.peek(ONE.digest(str(n).encode())) is not MISS for n in range(8))
    assert known <= 2


class Choosy(Binding):
    """Knows one plan only, as a configuration that declares no other."""

    def __init__(self, generation: int, plan: str) -> None:
        super().__init__(generation)
        self.plan = plan

    def __call__(self, record: KeyRecord, tenant: Tenant) -> BoundKey:
        if record.plan != self.plan:
            raise LookupError(record.plan)
        return super().__call__(record, tenant)


def choosy(home: Home, generation: int, plan: str, before: CachedKeys | None = None) -> CachedKeys:
    keys = home.keys(generation, before)
    keys._bind = Choosy(generation, plan)
    return keys


async def test_a_key_that_the_store_holds_for_the_next_generation_is_bound_by_that_one() -> None:
    home = Home()
    await home.fill()
    first = choosy(home, 1, "free")
    second = choosy(home, 2, "pro", first)
    await first.lookups.settling.acquire()  # a reload: the store is ahead until it is done
    record = await home.store.get_key(a_key().key_id)
    assert record is not None
    await home.store.save_key(replace(record, plan="pro"))
    waiting = [asyncio.ensure_future(first.find(digests())) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in waiting)
    second.take_over()
    first.lookups.settling.release()
    assert [generation_of(key) for key in await asyncio.gather(*waiting)] == [2, 2, 2]
    assert generation_of(await second.find(digests())) == 2


async def test_a_look_up_that_an_earlier_generation_began_serves_those_of_the_next() -> None:
    home = Home()
    await home.fill()
    first = choosy(home, 1, "another")
    second = choosy(home, 2, a_key().plan, first)
    home.store.gate.clear()
    early = asyncio.ensure_future(first.find(digests()))
    await asyncio.sleep(0)
    second.take_over()
    late = asyncio.ensure_future(second.find(digests()))
    await asyncio.sleep(0)
    home.store.gate.set()
    assert generation_of(await late) == generation_of(await early) == 2


async def test_a_key_that_nobody_can_bind_is_refused() -> None:
    home = Home()
    await home.fill()
    keys = choosy(home, 1, "another")
    with pytest.raises(LookupError):
        await keys.find(digests())


async def test_a_key_under_other_peppers_is_never_bound_for_a_request_of_the_old_ones() -> None:
    home = Home()
    await home.fill()
    first = choosy(home, 1, "another")
    home.keys(2, first, BOTH).take_over()
    with pytest.raises(LookupError):
        await first.find(digests())
    assert home.rekeyed == []
