"""Pages of keys: filled as far as the time reaches, and going on where that ended."""

from __future__ import annotations

from itertools import chain

import pytest

from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.queries import ANY_KEY, KeyQuery, Place, Sort
from gateway.keyring.key_lists import LOOK_SECONDS, page_of_keys
from gateway.stores.memory import MemoryStore
from tests.clock import FakeClock
from tests.key_samples import a_key, a_tenant

NOW = 1_000.0


class SlowStore(MemoryStore):
    """Takes its time for each part of a list, and remembers which tenant's keys were counted."""

    def __init__(self, clock: FakeClock, seconds: float = 0.0) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self.counted: list[str] = []

    async def list_keys(
        self, query: KeyQuery = ANY_KEY, *, after: str = "", limit: int = 100
    ) -> list[KeyRecord]:
        self._clock.advance(self._seconds)
        return await super().list_keys(query, after=after, limit=limit)

    async def place_ahead(
        self, ahead: int, *, sort: Sort | None = None, after: str = "", tenant_id: str = ""
    ) -> Place | None:
        self.counted.append(tenant_id)
        return await super().place_ahead(ahead, sort=sort, after=after, tenant_id=tenant_id)


async def filled(seconds: float = 0.0) -> tuple[SlowStore, FakeClock]:
    """Return a store of 40 keys, of which every tenth has the tag `rare`, for two tenants in turn."""
    clock = FakeClock(NOW)
    store = SlowStore(clock, seconds)
    await store.save_tenant(a_tenant("ten_a"))
    await store.save_tenant(a_tenant("ten_b"))
    for n in range(40):
        await store.save_key(
            a_key(
                f"key_{n:02}",
                name=f"name {40 - n:02}",
                tenant_id="ten_a" if n % 2 else "ten_b",
                tags=("rare",) if n % 10 == 9 else (),
                expires_at=NOW + 100 * n if n % 4 else None,
                digest=bytes([n] * 32),
            )
        )
    return store, clock


async def pages(
    store: SlowStore, clock: FakeClock, query: KeyQuery, limit: int, part: int = 5
) -> list[list[str]]:
    """Return the ids of all pages."""
    found: list[list[str]] = []
    cursor = ""
    while len(found) < 50:
        page = await page_of_keys(store, clock, query, cursor, limit, part=part)
        found.append([key.key_id[-2:] for key in page.records])
        cursor = page.cursor
        if not cursor:
            return found
    raise AssertionError(f"no end: {found}")


@pytest.mark.parametrize("field", ["", "name", "created_at", "expires_at", "last_used_at"])
@pytest.mark.parametrize("is_descending", [False, True])
async def test_what_is_rare_fills_a_page_though_it_is_looked_for_in_parts(
    field: str, is_descending: bool
) -> None:
    store, clock = await filled()
    sort = Sort(field=field, is_descending=is_descending) if field else None
    query = KeyQuery(tag="rare", sort=sort)
    found = await pages(store, clock, query, 3)
    assert [len(page) for page in found] == [3, 1]
    everything = await store.list_keys(query)
    assert [*chain(*found)] == [key.key_id[-2:] for key in everything]


async def test_a_page_is_given_out_when_its_time_is_over_and_the_next_goes_on() -> None:
    store, clock = await filled(seconds=LOOK_SECONDS)
    assert await pages(store, clock, KeyQuery(tag="rare"), 3) == [
        *([], ["09"], [], ["19"]),
        *([], ["29"], [], ["39"]),
        [],
    ]


async def test_a_list_that_an_index_holds_is_not_looked_for_in_parts() -> None:
    store, clock = await filled(seconds=LOOK_SECONDS)
    query = KeyQuery(tenant_id="ten_a", sort=Sort(field="name"))
    assert [len(page) for page in await pages(store, clock, query, 15)] == [15, 5]
    assert store.counted == []


async def test_no_cursor_names_a_key_of_a_tenant_that_is_out_of_reach() -> None:
    store, clock = await filled(seconds=LOOK_SECONDS)
    query = KeyQuery(text="nothing like it", tenant_ids=("ten_a",))
    page = await page_of_keys(store, clock, query, "", 10, part=3)
    assert (page.records, page.cursor) == ([], "key_05")  # the third of its own
    assert set(store.counted) == {"ten_a"}
    several = KeyQuery(text="nothing like it", tenant_ids=("ten_a", "ten_c"))
    page = await page_of_keys(store, clock, several, "", 10, part=3)
    assert (page.records, page.cursor) == ([], "")


async def test_an_id_is_found_without_looking_through_others_and_only_within_reach() -> None:
    store, clock = await filled(seconds=LOOK_SECONDS)
    for sort in (None, Sort(field="name")):
        assert await pages(store, clock, KeyQuery(text="key_21", sort=sort), 10) == [["21"]]
    assert store.counted == []
    assert await pages(store, clock, KeyQuery(text="key_21", tenant_ids=("ten_a",)), 9) == [["21"]]
    for query in (
        KeyQuery(text="key_21", tenant_ids=("ten_b",)),
        KeyQuery(text="key_21", state="revoked"),
        KeyQuery(text="key_2"),
        KeyQuery(text="kéy"),
    ):
        assert [*chain(*await pages(store, clock, query, 100))] == []
    assert len(store.counted) > 4
    clock.wall = NOW + 5_000.0  # it has expired
    assert await pages(store, clock, KeyQuery(text="key_21", state="active"), 100) == [[]]
    assert await pages(store, clock, KeyQuery(text="key_21", state="expired"), 100) == [["21"]]


async def test_the_state_that_holds_now_is_what_counts_stored_or_not() -> None:
    store, clock = await filled()
    clock.advance(2_050.0)  # those up to the 20th have expired, and nobody has written that down
    expired = await pages(store, clock, KeyQuery(state="expired"), 4)
    assert [*chain(*expired)] == [f"{n:02}" for n in range(1, 21) if n % 4]
    assert [len(page) for page in expired] == [4, 4, 4, 3]
    for n in (21, 22):
        key = await store.get_key(f"key_{n}")
        assert key is not None
        state = KeyState.EXPIRED if n == 21 else KeyState.REVOKED
        await store.save_key(a_key(key.key_id, state=state, digest=key.digest))
    assert (await pages(store, clock, KeyQuery(state="expired"), 100))[0][-1] == "21"
    active = await pages(store, clock, KeyQuery(state="active"), 7)
    assert len([*chain(*active)]) == 40 - 15 - 2
