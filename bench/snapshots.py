"""What the snapshot of the keys costs: `python -m bench.snapshots --keys 100000 1000000 --out docs/figures`.

Writes it beside an event loop that measures how late it is, once as fast as it can and once at the pace of a gateway;
then checks it as a restart does, looks keys up, and notes changes. Every figure is of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.facts import Facts
from bench.key_store import built, digest
from bench.policy import PEPPER
from gateway.control.clock import Moments, SystemClock
from gateway.domain.digest import Peppers
from gateway.stores import sqlite
from gateway.stores.snapshots.files import Files
from gateway.stores.snapshots.keeper import REST, Keeper
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Seals

LOOK_UPS: Final = 2_000
NOTES: Final = 200
_TICK_SECONDS: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds, but for sizes (bytes) and `paced_seconds`, which is None when it was not measured."""

    keys: int
    size: int
    seconds: float
    cpu_seconds: float
    paced_seconds: float | None
    late: float
    late_worst: float
    memory: int
    check_seconds: float
    look_up: float
    note: float


async def measure(
    opening: AbstractAsyncContextManager[Any], keys: int, folder: Path, *, is_paced: bool
) -> Measured:
    """Measure with the store that is opened so, which has so many keys."""
    seals = Seals(Peppers("p1", {"p1": PEPPER.encode()}))
    path = folder / "keys.snapshot"
    moment = Moments(SystemClock())
    async with opening as store:
        keeper = Keeper(Files(path, lambda: seals, "bench"), lambda: store, rest=0.0)
        before = resource.getrusage(resource.RUSAGE_SELF)
        started, cpu = time.monotonic(), time.process_time()
        await keeper.write_pages(0, moment())
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert not keeper.fault, keeper.fault
        paced, late = None, [0.0]
        if is_paced:
            keeper.rest = REST
            paced, late = await _paced(keeper, moment)
        record = (await store.find([digest(0)]))[0]
        started = time.monotonic()
        for _ in range(NOTES):
            await keeper.note([record])
        note = (time.monotonic() - started) / NOTES
        await keeper.close()
    check_seconds, look_up = _read(path, seals, keys)
    late.sort()
    return Measured(
        keys=keys,
        size=path.stat().st_size,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        paced_seconds=paced,
        late=late[int(len(late) * 0.99)],
        late_worst=late[-1],
        memory=(after.ru_maxrss - before.ru_maxrss) * 1024,
        check_seconds=check_seconds,
        look_up=look_up,
        note=note,
    )


async def _paced(keeper: Keeper, moment: Moments) -> tuple[float, list[float]]:
    """Write it as a gateway does; return how long that takes, and how late the loop was each time."""
    late: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(_watch(late))
        started = time.monotonic()
        await keeper.write_pages(0, moment())
        seconds = time.monotonic() - started
        watching.cancel()
    return seconds, late


async def _watch(late: list[float]) -> None:
    while True:
        started = time.monotonic()
        await asyncio.sleep(_TICK_SECONDS)
        late.append(time.monotonic() - started - _TICK_SECONDS)


def _read(path: Path, seals: Seals, keys: int) -> tuple[float, float]:
    started = time.monotonic()
    with closing(Snapshot(path, lambda: seals, "bench")) as snapshot:
        snapshot.refresh()
        check_seconds = time.monotonic() - started
        wanted = [digest(n * 7919 % keys) for n in range(LOOK_UPS)]
        started = time.monotonic()
        for each in wanted:
            assert snapshot.key([each]) is not None
        return check_seconds, (time.monotonic() - started) / LOOK_UPS


def table(rows: Sequence[Measured]) -> str:
    """Return what was measured."""
    head = "| keys | size | written in | CPU time | at the pace of a gateway | loop late meanwhile: p99, worst |"
    head += " memory | checked at a restart | a look-up | a change noted |\n"
    lines = [head + "|---:" * 10 + "|\n"]
    for each in rows:
        paced = "" if each.paced_seconds is None else f"{each.paced_seconds:.0f} s"
        late = f"{each.late * 1e3:.1f} ms, {each.late_worst * 1e3:.0f} ms" if paced else ""
        lines.append(
            f"| {each.keys:,} | {each.size / 1e6:.0f} MB | {each.seconds:.1f} s | {each.cpu_seconds:.1f} s | {paced} |"
            f" {late} | {each.memory / 1e6:.0f} MB | {each.check_seconds:.2f} s | {each.look_up * 1e6:.0f} us |"
            f" {each.note * 1e3:.2f} ms |\n"
        )
    return "".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; with `--out` also write the page."""
    parser = argparse.ArgumentParser(description="What the snapshot of the keys costs.")
    parser.add_argument("--keys", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bench-keys")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    rows = []
    for keys in options.keys:
        store = built(options.folder, keys)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            rows.append(
                asyncio.run(measure(sqlite.opened(store), keys, Path(folder), is_paced=True))
            )
        print(table(rows[-1:]))
    if options.out:
        (options.out / "snapshots.md").write_text(
            "# The snapshot of the keys\n\n"
            "Written by `make bench-snapshots`; see [survive a broken store](../how-to/survive-a-broken-store.md).\n\n"
            f"{table(rows)}\n"
            "The store is a SQLite file; the memory is what the process took beyond what it had. *At the pace of a\n"
            "gateway* there are pauses four times as long as the work before them. A change is noted when it is on\n"
            f"the disk.\n\n{Facts.of_this_machine()}.\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
