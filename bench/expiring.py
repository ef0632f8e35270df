"""Many keys that expire at the same moment: `python -m bench.expiring`, how long until each is written down and told in
the audit trail, and how long the event loop is kept from requests meanwhile: the processor time that its thread takes
between two turns, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.facts import Facts
from bench.policy import PEPPER
from gateway.assembly.gateway import opened
from gateway.config.load import load
from gateway.control.garbage import settle_memory
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.tenants import Tenant
from gateway.stores.migrations import prepare
from gateway.stores.rows import KEY_COLUMNS, TENANT_COLUMNS, values_of

CONFIG: Final = f"""
version: 1
listeners:
  public: {{bind: "127.0.0.1:0"}}
  admin: {{bind: "unix:admin.sock"}}
  metrics: {{bind: "127.0.0.1:0"}}
store: {{path: keys.db}}
peppers: {{current: p1, p1: {PEPPER}}}
key_formats: {{f: {{prefix: sk, environments: [live]}}}}
environments: {{live: {{}}}}
telemetry: {{access_log: {{path: "off"}}}}
request_log: {{path: "off"}}
"""

_TICK_SECONDS: Final = 0.001
_LEAD_SECONDS: Final = 4.0
_GIVE_UP_SECONDS: Final = 300.0


def main() -> int:
    """Measure, and print a line; return 1 when it took too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.expiring", description=__doc__)
    parser.add_argument(
        "--keys", type=int, default=20_000, help="keys that expire together (20000)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollhouse-expiring-") as folder:
        took, spent, held = uvloop.run(_measured(Path(folder), options.keys))
    held.sort()
    print(
        f"{options.keys} keys: all expired in the store {took:.1f} s after their end, "
        f"for {spent / options.keys * 1e6:.0f} us of processor time each"
    )
    print(
        f"the event loop was busy for {held[len(held) // 2] * 1000:.1f} ms in the median, "
        f"{held[len(held) * 99 // 100] * 1000:.1f} ms at p99, {held[-1] * 1000:.1f} ms at most"
    )
    print(Facts.of_this_machine())
    return int(took >= _GIVE_UP_SECONDS)


async def _measured(folder: Path, keys: int) -> tuple[float, float, list[float]]:
    path = folder / "config.yaml"
    path.write_text(CONFIG)
    end = time.time() + _LEAD_SECONDS + keys / 20_000
    _fill(folder / "keys.db", keys, end)
    held: list[float] = []
    async with opened(load(path, {}), path) as gateway:
        settle_memory()
        await asyncio.sleep(max(0.0, end - time.time() - 0.2))
        ticking = asyncio.create_task(_tick(held))
        spent = time.process_time()
        while time.time() < end + _GIVE_UP_SECONDS:
            counts = await gateway.store.count_keys()
            if sum(n for (state, _), n in counts.items() if state == KeyState.EXPIRED) == keys:
                break
            await asyncio.sleep(0.05)
        took, spent = time.time() - end, time.process_time() - spent
        ticking.cancel()
    return took, spent, held


async def _tick(held: list[float]) -> None:
    while True:
        began = time.thread_time()
        await asyncio.sleep(_TICK_SECONDS)
        held.append(time.thread_time() - began)


def _fill(path: Path, keys: int, expires_at: float) -> None:
    prepare(path)
    tenant = Tenant(tenant_id="ten_a", name="A")
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN")
        _insert(file, "tenants", TENANT_COLUMNS, [values_of(tenant)])
        _insert(file, "keys", KEY_COLUMNS, (values_of(_key(n, expires_at)) for n in range(keys)))
        file.execute("COMMIT")


def _insert(file: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Any) -> None:
    places = ", ".join(f":{column}" for column in columns)
    file.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)


def _key(n: int, expires_at: float) -> KeyRecord:
    key_id = f"key_{n:032}"
    return KeyRecord(
        key_id=key_id,
        lineage_id=f"lin_{n:032}",
        tenant_id="ten_a",
        name=f"Key {n}",
        format="f",
        environment="live",
        digest=sha256(key_id.encode()).digest(),
        pepper_id="p1",
        display="sk_live_ab12…wxyz",
        expires_at=expires_at,
        revision=n + 1,
    )


if __name__ == "__main__":
    sys.exit(main())
