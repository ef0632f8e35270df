"""What keys, requests and changes take in a store and ask of PostgreSQL: `python -m bench.capacity_figures`.

Measures stores of several sizes in SQLite and PostgreSQL (bytes, start, backup), what a gateway writes per request and
per change, and every statement that PostgreSQL is asked: idle, under load, for keys that are not in memory, for
changes, and with a second gateway. `--write` makes a page of it, with what the model of `bench.capacity` says.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.capacity import shown
from bench.capacity_gateway import Site, command, configure, gateway, ran, stored
from bench.capacity_page import WRITTEN_KEYS, WRITTEN_REQUESTS, Found, page
from bench.capacity_stores import told_of
from bench.key_store import built, token
from bench.keys import POLICY
from bench.machine import Absent, Unusable
from bench.postgres_server import Server, postgres
from gateway.domain.database_address import read_address
from gateway.stores import sqlite
from gateway.stores.postgres import opening
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.store import PostgresStore
from tests import postgres as servers

IDLE_SECONDS: Final = 15.0
"""Every work that is done again and again has its turn in it, but for alerts."""

ALERTS_SECONDS: Final = 60.0
_USAGE: Final = (
    "INSERT INTO usage_cells",
    "INSERT INTO usage_durations",
    "INSERT INTO usage_reasons",
)
_WHO: Final = ("INSERT INTO usage_facets",)
COLD_KEYS: Final = 400
LOOKED_UP_KEYS: Final = 2_000
CHANGES: Final = 25
_LATE_SECONDS: Final = 2.5
"""Counters and logs are written within a second; usage, too."""

_SETTLE_SECONDS: Final = 20.0
"""Until keys were surveyed once, which is done faster than later."""


def main() -> int:
    """Measure; return 1 when that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity_figures", description=__doc__)
    parser.add_argument("--keys", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--postgres-keys", type=int, nargs="*", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--write", type=Path, help="folder for capacity.md")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "tollhouse-bench-capacity",
        help="where stores are kept between runs (1.2 GB for a million keys)",
    )  # fmt: skip
    parser.add_argument(
        "--starts", type=int, default=3, help="starts, of which the best is told (3)"
    )
    options = parser.parse_args()
    found, before = Found(), os.getloadavg()[0]
    try:
        _in_sqlite(options, found)
        _written(found)
        _in_postgres(options, found)
    except Unusable as problem:
        print(f"capacity: {problem}", file=sys.stderr)
        return 1
    if options.write is not None:
        (options.write / "capacity.md").write_text(page(found, before), "utf-8")
    return 0


# ---- stores of several sizes


def _in_sqlite(options: argparse.Namespace, found: Found) -> None:
    for keys in options.keys:
        folder = options.folder / str(keys)
        path = built(folder, keys)
        per_key, per_tenant = _per_row(path, "keys"), _per_row(path, "tenants")
        store = {"path": path.name}
        with gateway(folder, store, first=token(0)) as site:
            asyncio.run(asyncio.sleep(_LATE_SECONDS))
            memory, absent = site.process.memory_bytes()[0], _absent_key(site)
            target = folder / "backup.db"
            target.unlink(missing_ok=True)
            backup = site.cli("db", "backup", str(target))
            size = target.stat().st_size
            target.unlink()
        found.add(
            found.sizes, f"SQLite, {keys:,} keys", shown(size, "bytes"), f"{per_key:,.0f}",
            f"{per_tenant:,.0f}", _best_start(folder, store, site.start_seconds, options.starts),
            shown(memory, "bytes"), absent, f"{backup:.1f} s",
        )  # fmt: skip
    if options.keys:
        print(f"asking SQLite of {options.keys[-1]:,} keys", flush=True)
        told = asyncio.run(
            told_of(partial(sqlite.opened, path), options.keys[-1], time.process_time)
        )
        found.stores.append((f"SQLite, {options.keys[-1]:,} keys", told))


def _absent_key(site: Site) -> str:
    """Return the CPU time that a gateway spends on a key because it is not in memory."""
    secrets, readings = stored(100, LOOKED_UP_KEYS), [site.process.cpu_seconds()]
    for _ in ("not in memory", "in memory"):
        asyncio.run(site.ask(secrets))
        readings.append(site.process.cpu_seconds())
    began, cold, warm = readings
    return f"{((cold - began) - (warm - cold)) / len(secrets) * 1e6:.0f} us"


def _best_start(folder: Path, store: dict[str, Any], first: float, count: int) -> str:
    """Return the shortest of so many starts: what else the machine does makes them longer."""
    starts = [first]
    for _ in range(count - 1):
        with gateway(folder, store, first=token(0)) as site:
            starts.append(site.start_seconds)
    return f"{min(starts):.2f} s"


def _per_row(path: Path, table: str) -> float:
    """Return the bytes of a row, with those of its indexes and of pages that are not full."""
    with closing(sqlite3.connect(path)) as file:
        return bytes_of(file, table) / max(1, _count(file, table))


def bytes_of(file: sqlite3.Connection, *tables: str) -> int:
    """Return the bytes of tables with their indexes."""
    places = ", ".join("?" * len(tables))
    query = (
        "SELECT coalesce(sum(pgsize), 0) FROM dbstat JOIN sqlite_schema USING (name)"
        f" WHERE tbl_name IN ({places})"
    )
    [(size,)] = file.execute(query, tables).fetchall()
    return int(size)


def _count(file: sqlite3.Connection, table: str) -> int:
    [(count,)] = file.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(count)


# ---- what is written


def _written(found: Found) -> None:
    """Let a gateway write of everything something, and weigh it."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-capacity-") as name:
        folder = Path(name)
        logs: dict[str, Any] = {
            "request_log": {"path": "requests"},
            "telemetry": {"access_log": {"path": "access.log"}},
        }
        with gateway(folder, {"path": "written.db"}, **logs) as site:
            asyncio.run(_write(site))
        requests = folder / "requests"
        lines = WRITTEN_REQUESTS + 1
        kept = sum(file.stat().st_size for file in requests.rglob("*") if file.is_file())
        with closing(sqlite3.connect(folder / "written.db")) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            usage = bytes_of(file, "usage_cells", "usage_durations", "usage_reasons")
            cells, facets = _count(file, "usage_cells"), _count(file, "usage_facets")
            changes = _count(file, "audit")
            for what, amount in (
                ("a line of the request log", kept / lines),
                ("a line of the access log", (folder / "access.log").stat().st_size / lines),
                ("a record of the audit trail", bytes_of(file, "audit") / changes),
                ("a key on a route in a minute, an hour or a day", usage / cells),
                ("a network or user agent of a key in an hour", bytes_of(file, "usage_facets") / facets),
            ):  # fmt: skip
                found.add(found.written, what, f"{amount:,.0f} bytes")


async def _write(site: Site) -> None:
    """Make keys, and requests with each of them from the routes that there are."""
    tenants = await site.change(
        "POST", "/tenants", [{"name": f"Tenant {n}"} for n in range(WRITTEN_KEYS // 20)]
    )
    body = {"environment": "live", "scopes": list(POLICY.scopes), "plan": "wide"}
    made = await site.change(
        "POST",
        "/keys",
        [
            {**body, "name": f"Production key {n}", "tenant_id": tenants[n // 20]["tenant_id"]}
            for n in range(WRITTEN_KEYS)
        ],
    )
    secrets = [each["secret"] for each in made]
    await site.ask(secrets * (WRITTEN_REQUESTS // WRITTEN_KEYS))
    await asyncio.sleep(_LATE_SECONDS)


# ---- PostgreSQL


def _in_postgres(options: argparse.Namespace, found: Found) -> None:
    try:
        with postgres() as server:
            for keys in options.postgres_keys:
                _database(options, server, keys, found)
            if options.postgres_keys:
                _statements(options, server, options.postgres_keys[0], found)
    except Absent as problem:
        found.absent = str(problem)
        print(found.absent, file=sys.stderr)


def _database(options: argparse.Namespace, server: Server, keys: int, found: Found) -> None:
    folder, database = options.folder / str(keys), f"keys_{keys}"
    path = built(folder, keys)
    server.asked("postgres", f"CREATE DATABASE {database} TEMPLATE template0")
    url = server.url(database)
    file, _ = configure(folder, {"path": path.name})
    spent = server.cpu_seconds()
    moved = command(file, "db", "migrate-to", url)
    spent = server.cpu_seconds() - spent
    found.add(
        found.moved, f"{keys:,} keys", f"{moved.seconds:.0f} s", f"{moved.cpu_seconds:.0f} s",
        f"{spent:.0f} s", shown(moved.memory_bytes, "bytes"),
    )  # fmt: skip
    server.asked(database, "VACUUM ANALYZE")
    per_key, per_tenant = (_per_row_there(server, database, table) for table in ("keys", "tenants"))
    [(size,)] = server.asked(database, "SELECT pg_database_size(current_database())")
    store = {"path": path.name, "url": url}
    with gateway(folder, store, first=token(0)) as site:
        asyncio.run(asyncio.sleep(_LATE_SECONDS))
        memory, absent = site.process.memory_bytes()[0], _absent_key(site)
    found.add(
        found.sizes, f"PostgreSQL, {keys:,} keys", shown(size, "bytes"), f"{per_key:,.0f}",
        f"{per_tenant:,.0f}", _best_start(folder, store, site.start_seconds, options.starts),
        shown(memory, "bytes"), absent, f"{_dumped(folder, url):.1f} s",
    )  # fmt: skip
    if keys == options.postgres_keys[-1]:
        print(f"asking PostgreSQL of {keys:,} keys", flush=True)

        def cpu() -> float:
            return time.process_time() + server.cpu_seconds()

        told = asyncio.run(told_of(partial(_opened, url), keys, cpu))
        found.stores.append((f"PostgreSQL, {keys:,} keys", told))


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[PostgresStore]:
    async with opening.opened(Access(address=read_address(url)), 4) as database:
        yield PostgresStore(database)


def _dumped(folder: Path, url: str) -> float:
    """Return how long a backup takes by the server's own program."""
    target = folder / "backup.dump"
    took = ran([str(servers.binaries() / "pg_dump"), "-Fc", "-f", str(target), url])
    target.unlink()
    return took.seconds


def _per_row_there(server: Server, database: str, table: str) -> float:
    query = f"SELECT pg_total_relation_size('{table}') / greatest(1, count(*)) FROM {table}"
    [(size,)] = server.asked(database, query)
    return float(size)


def _statements(options: argparse.Namespace, server: Server, keys: int, found: Found) -> None:
    """Count what is asked of the database by one gateway in several moments, and by two."""
    database, home = f"keys_{keys}", options.folder / str(keys)
    server.count_statements()
    store = {"path": "own.db", "url": server.url(database)}
    key = home / "audit.key"
    with tempfile.TemporaryDirectory(prefix="tollhouse-capacity-") as name:
        one, two = Path(name) / "one", Path(name) / "two"
        calm: dict[str, Any] = {"alerts": {"enabled": False}}
        with gateway(one, store, audit_key=key, cluster={"node": "one"}, **calm) as site:
            asyncio.run(asyncio.sleep(_SETTLE_SECONDS))
            counting = Counting(server, found)
            idle = counting.during("one gateway, idle", _rest)
            for rate in (20.0, 500.0):
                counting.during(
                    f"{rate:.0f} requests/s with a known key",
                    partial(site.steadily, token(1), rate, IDLE_SECONDS),
                )
            cold = partial(_ask_and_wait, site, stored(100, COLD_KEYS))
            counting.during("a key that is not in memory", cold, of=COLD_KEYS, idle=idle)
            for what, count in (
                ("its usage", counting.usage_rows),
                ("who used it", counting.who_rows),
            ):
                rows = f"{count / COLD_KEYS:.1f} rows"
                found.add(found.asked, f"{what}, written with that of others", rows, "")
            orders = [{"id": each, "reason": "bench"} for each in _ids(server, database)]
            revoke = partial(site.change, "POST", "/keys/{}:revoke")
            some = partial(revoke, orders[:CHANGES])
            counting.during("a revocation", some, of=CHANGES, idle=idle)
            with gateway(two, store, audit_key=key, cluster={"node": "two"}, **calm):
                asyncio.run(asyncio.sleep(_SETTLE_SECONDS))
                both = counting.during("two gateways, idle", _rest)
                some = partial(revoke, orders[CHANGES:])
                counting.during("a revocation, both gateways", some, of=CHANGES, idle=both)
        with gateway(one, store, audit_key=key, cluster={"node": "one"}):
            asyncio.run(asyncio.sleep(_SETTLE_SECONDS))
            counting.during(
                f"one gateway that looks for alerts, {COLD_KEYS} keys in use",
                partial(asyncio.sleep, ALERTS_SECONDS),
            )
        found.kinds = counting.kinds


async def _ask_and_wait(site: Site, secrets: list[str]) -> None:
    """Make requests, and wait until they are counted in the store."""
    await site.ask(secrets)
    await asyncio.sleep(_LATE_SECONDS)


async def _rest() -> None:
    await asyncio.sleep(IDLE_SECONDS)


def _ids(server: Server, database: str) -> list[str]:
    query = f"SELECT key_id FROM keys WHERE state = 'active' ORDER BY key_id LIMIT {2 * CHANGES}"
    return [row[0] for row in server.asked(database, query)]


class Counting:
    """Counts statements while something is done; `kinds` is what is asked while nothing is.

    Rows of usage, which are written many at a time, are counted apart: `usage_rows` and `who_rows` are those of the
    last time.
    """

    def __init__(self, server: Server, found: Found) -> None:
        self._server = server
        self._found = found
        self.kinds: list[str] = []
        self.usage_rows = self.who_rows = 0

    def during(self, what: str, act: Any, *, of: int = 0, idle: float = 0.0) -> float:
        """Do it; return statements per second, or for each of `of` beyond the `idle` ones of the time."""
        since, cpu, began = self._server.offset(), self._cpu(), time.monotonic()
        asyncio.run(_done(act))
        seconds, spent = time.monotonic() - began, self._cpu() - cpu
        statements = self._server.statements(since)
        asked = [each for each in statements if not each.startswith((*_USAGE, *_WHO))]
        self.usage_rows = sum(each.startswith(_USAGE) for each in statements)
        self.who_rows = sum(each.startswith(_WHO) for each in statements)
        if not of:
            rate = len(asked) / seconds
            self._tell(what, f"{rate:.1f} per second", spent, len(asked))
            if not self.kinds:
                self.kinds = _kinds(asked, seconds)
            return rate
        each = max(0.0, len(asked) - idle * seconds) / of
        self._tell(what, f"{each:.1f} each", spent, len(asked))
        return each

    def _cpu(self) -> float:
        return self._server.cpu_seconds()

    def _tell(self, what: str, statements: str, seconds: float, count: int) -> None:
        micros = f"{seconds / max(1, count) * 1e6:,.0f} us"
        self._found.add(self._found.asked, what, statements, micros)


async def _done(act: Any) -> None:
    await act()


def _kinds(asked: list[str], seconds: float) -> list[str]:
    """Return the most frequent statements by their first words, with how often they come, as rows."""
    words = Counter(" ".join(each.split()[:4])[:60] for each in asked)
    return [f"| `{first}` | {count / seconds:.1f} |" for first, count in words.most_common(10)]


if __name__ == "__main__":
    sys.exit(main())
