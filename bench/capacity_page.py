"""What `bench.capacity_figures` measured, as a page, with what the model makes of three loads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bench.capacity import report
from bench.capacity_model import Demand, ceilings, estimate
from bench.capacity_stores import PAGE, Told, fact_rows, list_rows
from bench.facts import Facts
from bench.key_store import KEYS_PER_TENANT

WRITTEN_KEYS: Final = 300
WRITTEN_REQUESTS: Final = 9_000
"""What is written while it is weighed."""


@dataclass(slots=True)
class Found:
    """What was measured, as tables of a page."""

    sizes: list[str] = field(default_factory=list)
    stores: list[tuple[str, Told]] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    absent: str = ""

    def add(self, table: list[str], *cells: object) -> None:
        """Add a row, and print it."""
        table.append("| " + " | ".join(map(str, cells)) + " |")
        print(table[-1], flush=True)


def page(found: Found, load: float) -> str:
    """Return what was measured and what follows from it as a page."""
    examples = "\n".join(_example(title, demand) for title, demand in EXAMPLES)
    absent = f"\nPostgreSQL was not measured: {found.absent}\n" if found.absent else ""
    return f"""# Figures: capacity

Written by `make bench-capacity`. What it means, and how to use it: [sizing](../sizing.md).

## Keys

Keys with ids, names and indexes as real ones have, a tenant for every {KEYS_PER_TENANT}. Bytes are those of the whole
table with its indexes. *Start* is the CPU time from the command to the first answer, the best of some; *memory* is
that of one process that has answered one request. *A key that is not in memory* costs the gateway that much CPU time
more than one that is. The backup of a file is taken with `tollhouse db backup` while the gateway runs, that of a
database with `pg_dump`.

| | size of a copy | bytes per key | per tenant | start | memory | a key that is not in memory | backup |
|---|---:|---:|---:|---:|---:|---:|---|
{_table(found.sizes)}

{_stores(found)}## What is written

{WRITTEN_REQUESTS:,} requests with {WRITTEN_KEYS} keys on a route, and what made those keys.

| | |
|---|---:|
{_table(found.written)}

## What PostgreSQL is asked

Every statement that the server wrote to its log, without those that begin and end transactions; alerts are off but in
the last line. CPU time of the server per statement includes writing that log and all that PostgreSQL does by itself.

| while | statements | CPU of PostgreSQL per statement |
|---|---:|---:|
{_table(found.asked)}
{absent}
| what an idle gateway asks | per second |
|---|---:|
{_table(found.kinds)}

## What follows

By `python -m bench.capacity`, from these and other measured constants (`--costs`):
{examples}

{Facts.of_this_machine()}; load average before the run: {load:.1f}.
"""


def _stores(found: Found) -> str:
    if not found.stores:
        return ""
    names = " | ".join(name for name, _ in found.stores)
    columns = "|---:" * len(found.stores)
    facts = "\n".join(f"| {' | '.join(row)} |" for row in fact_rows(found.stores))
    lists = "\n".join(f"| {' | '.join(row)} |" for row in list_rows(found.stores))
    ratios = " | ".join(f"{name}: first page | the 1,000th: times that" for name, _ in found.stores)
    moved = "\n".join(found.moved)
    return f"""## What a store of so many keys does

Asked by one who waits for each answer, on a machine that others used: compare columns and rows, not machines. Half of
the keys expire within 90 days. *Reminders*: the policies have lead times of 30, 7 and 1 day; the clock of the look was
put forward minute by minute. A list is read {PAGE} keys at a time, and what counts is CPU time, that of the server
too: the least of some times. Of PostgreSQL's, some 5 ms are what reading the server's CPU time takes. What no index
holds is looked for as long as a second.

| | {names} |
|---{columns}|
{facts}

| a page of | {ratios} |
|---{columns}{columns}|
{lists}

| `tollhouse db migrate-to` | time | its CPU time | CPU time of PostgreSQL | its peak memory |
|---|---:|---:|---:|---:|
{moved}

"""


def _table(rows: list[str]) -> str:
    return "\n".join(rows)


def _example(title: str, demand: Demand) -> str:
    return f"\n### {title}\n\n{report(estimate(demand), ceilings(demand))}"


EXAMPLES: Final = (
    (
        "One machine: 2,000 requests/s, 10,000 keys, SQLite, two workers",
        Demand(requests=2_000, keys=10_000, active_keys=2_000, workers=2),
    ),
    (
        "Three machines: 20,000 requests/s, 1,000,000 keys, PostgreSQL, exact limits",
        Demand(
            requests=20_000, keys=1_000_000, active_keys=50_000, tenants=50_000, gateways=3,
            workers=4, store="postgresql", limits="exact", connections=10_000,
        ),
    ),
    (
        "Ten machines: 100,000 requests/s, 10,000,000 keys, PostgreSQL, leased limits",
        Demand(
            requests=100_000, keys=10_000_000, active_keys=300_000, tenants=500_000, gateways=10,
            workers=6, store="postgresql", limits="leased", connections=100_000, compiled=True, cache_keys_max=400_000,
        ),
    ),
)  # fmt: skip
"""What the page works out; the last one is beyond what was measured."""
