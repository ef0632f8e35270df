"""What a store with so many keys does for those who wait for it, in SQLite and PostgreSQL alike: look-ups, pages of
lists, reminders that keys expire, the survey for metrics, the snapshot. For `bench.capacity_figures`.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from bench.key_store import ENDS, digest
from bench.snapshots import measure
from gateway.alerts.lifetimes import LifetimesLook
from gateway.alerts.looking import Round
from gateway.domain.policies import KeyMatch, PolicyRules, RotationRule
from gateway.domain.queries import KeyQuery, Place, Sort
from gateway.keyring.cursors import cursor_at
from gateway.keyring.door import Keyring
from gateway.keyring.key_lists import page_of_keys
from gateway.keyring.survey import Survey
from gateway.ports import KeyStore
from tests.alert_samples import DAY, some_settings
from tests.clock import FakeClock

LOOK_UPS: Final = 3_000
PAGE: Final = 100
DEEP: Final = 1_000
"""The page that is compared to the first one."""

MINUTES: Final = 30
_REPEATS: Final = 5


class _Now(FakeClock):
    """Stands still, but for the time that somebody waits."""

    def monotonic(self) -> float:
        return time.monotonic()


_RARE: Final = KeyQuery(tag="team-7")
POLICIES: Final = PolicyRules(
    reminders=(30 * DAY, 7 * DAY, DAY),
    rotation=(RotationRule(match=KeyMatch(scopes=("jobs:write",)), every_seconds=90 * DAY),),
)

LISTS: Final = {
    "all keys, by id": KeyQuery(),
    **{
        f"all keys, by {'-' if way else ''}{name}": KeyQuery(
            sort=Sort(field=name, is_descending=way)
        )
        for name in ("name", "created_at", "expires_at", "last_used_at")
        for way in (False, True)
    },
    "`state=active`": KeyQuery(state="active"),
    "`state=active`, by -created_at": KeyQuery(
        state="active", sort=Sort(field="created_at", is_descending=True)
    ),
    "`tag`, one key of 1,000": _RARE,
    "`tag`, one key of 1,000, by -last_used_at": replace(
        _RARE, sort=Sort(field="last_used_at", is_descending=True)
    ),
    "`q`, one key of 1,000": KeyQuery(text="key 777"),
    "`q`, no key at all": KeyQuery(text="no such key"),
}
"""Lists by what is asked for and how they are sorted."""


@dataclass(slots=True)
class Told:
    """What was measured of one store."""

    look_up: tuple[float, float] = (0.0, 0.0)
    lists: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Seconds of processor time for the first page, and for the 1,000th."""
    begun: int = 0
    late: float = 0.0
    look: float = 0.0
    survey: float = 0.0
    snapshot: Any = None


Opening = Callable[[], AbstractAsyncContextManager[Any]]
Cpu = Callable[[], float]
"""Seconds of processor time that this process and the server, if there is one, have taken."""


async def told_of(opening: Opening, keys: int, cpu: Cpu) -> Told:
    """Measure the store that `opening` opens."""
    told = Told()
    async with opening() as store:
        told.look_up = await _look_ups(store, keys)
        for name, query in LISTS.items():
            told.lists[name] = await _pages(store, query, keys, cpu)
            print(f"  {name}: {[f'{1e3 * each:.1f} ms' for each in told.lists[name]]}", flush=True)
        await _reminders(store, told, cpu)
        told.survey = await _survey(store, cpu)
    with tempfile.TemporaryDirectory() as folder:
        told.snapshot = await measure(opening(), keys, Path(folder), is_paced=False)
    return told


async def _look_ups(store: KeyStore, keys: int) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    numbers = random.Random(4).sample(range(keys), min(LOOK_UPS, keys))
    taken = []
    for number in numbers:
        wanted = [digest(number)]
        began = time.perf_counter()
        assert await store.find(wanted) is not None
        taken.append(time.perf_counter() - began)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


async def _pages(store: KeyStore, query: KeyQuery, keys: int, cpu: Cpu) -> tuple[float, float]:
    """Return what the first page takes, and the one behind the 100,000th key; the least of some times."""
    clock = _Now(ENDS - DAY)
    ahead = min(DEEP * PAGE, keys // 2)
    place = await store.place_ahead(ahead, sort=query.sort)
    assert place is not None

    async def page(cursor: str) -> None:
        await page_of_keys(store, clock, query, cursor, PAGE)

    first = await _least(lambda: page(""), cpu)
    return first, await _least(lambda: page(cursor_at(Place(*place), query.sort)), cpu)


async def _least(act: Callable[[], Awaitable[None]], cpu: Cpu) -> float:
    least = float("inf")
    for _ in range(_REPEATS):
        began = cpu()
        await act()
        least = min(least, cpu() - began)
    return least


async def _reminders(store: KeyStore, told: Told, cpu: Cpu) -> None:
    """Look for what expires, every minute of half an hour in which the lead times of many keys begin."""
    look, settings = LifetimesLook(store), some_settings(policies=POLICIES)
    now = ENDS + 30 * DAY
    known: set[tuple[str, ...]] = set()
    spent: list[float] = []
    for minute in range(-20, MINUTES):
        before = cpu()
        found = await look.look(Round(now=now + 60 * minute, settings=settings, own={}))
        spent.append(cpu() - before)
        found.taken()
        for finding in found.findings:
            lead = finding.details["lead_seconds"]
            ends = found.records[finding.key_id].expires_at
            began = cast("float", ends) - lead
            if finding.identity not in known and began > now:
                told.begun += 1
                told.late = max(told.late, now + 60 * minute - began)
            known.add(finding.identity)
    told.look = sum(spent[-MINUTES:]) / MINUTES


async def _survey(store: KeyStore, cpu: Cpu) -> float:
    clock = FakeClock(ENDS + 30 * DAY)

    class Ring:
        policies = some_settings(policies=replace(POLICIES, rotation=())).policies

    survey = Survey(lambda: cast("Keyring", Ring()), store, clock)
    before = cpu()
    await survey.look()
    assert survey.is_complete
    return cpu() - before


def list_rows(stores: Sequence[tuple[str, Told]]) -> list[list[str]]:
    """Return the table of lists: per list, for each store the first page and how many times that the 1,000th takes."""
    rows = []
    for name in LISTS:
        cells = [name]
        for _, told in stores:
            first, deep = told.lists[name]
            cells += [f"{first * 1e3:.1f} ms", f"{deep / first:.1f}"]
        rows.append(cells)
    return rows


def fact_rows(stores: Sequence[tuple[str, Told]]) -> list[list[str]]:
    """Return the table of everything else: a fact per row, a store per column."""

    def row(name: str, shown: Callable[[Told], str]) -> list[str]:
        return [name, *(shown(told) for _, told in stores)]

    return [
        row("a look-up, p50", lambda told: f"{told.look_up[0] * 1e3:.2f} ms"),
        row("a look-up, p99", lambda told: f"{told.look_up[1] * 1e3:.2f} ms"),
        row(f"lead times that began in {MINUTES} minutes", lambda told: f"{told.begun:,}"),
        row("the last of them was found after", lambda told: f"{told.late:.0f} s"),
        row("a look for these alerts, each minute: CPU", lambda told: f"{told.look * 1e3:.0f} ms"),
        row("counting what expires, each 15 s: CPU", lambda told: f"{told.survey * 1e3:.0f} ms"),
        row("the snapshot: written in", lambda told: f"{told.snapshot.seconds:.0f} s"),
        row("CPU time for it", lambda told: f"{told.snapshot.cpu_seconds:.0f} s"),
        row("its size", lambda told: f"{told.snapshot.size / 1e6:.0f} MB"),
        row("memory for it", lambda told: f"{told.snapshot.memory / 1e6:.0f} MB"),
        row("checked when a gateway starts with it", lambda told: f"{told.snapshot.check_seconds:.2f} s"),
        row("a look-up in it", lambda told: f"{told.snapshot.look_up * 1e3:.2f} ms"),
    ]  # fmt: skip
