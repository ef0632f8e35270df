"""A store with a million keys, built once in a folder and used again by the next run.

Written through SQL, in the order in which keys would have been made, with all indexes: what a look-up meets is what it
would meet in a store that grew over years. Everything follows from the number of a key.
"""

from __future__ import annotations

import hmac
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.policy import FORMAT, PEPPER, mint
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.migrations import prepare
from gateway.stores.rows import KEY_COLUMNS, TENANT_COLUMNS, values_of

KEYS_PER_TENANT: Final = 20
_BATCH: Final = 20_000
_BYTES_PER_KEY: Final = 1200
"""On the disk, with all indexes; measured 1,010."""

_BEGAN: Final = 1_700_000_000.0
ENDS: Final = 4_000_000_000.0
"""From when on half of the keys expire, within 90 days and in no order: later than anybody starts a gateway on them."""

ENDS_WITHIN: Final = 90 * 86_400
TEAMS: Final = 1_000
"""Different tags of keys."""


def token(n: int) -> str:
    """Return the secret of key number `n`."""
    return mint(f"stored key {n}")


def digest(n: int) -> bytes:
    """Return what the store knows of it."""
    return hmac.digest(PEPPER.encode(), token(n).encode(), "sha256")


def built(folder: Path, keys: int) -> Path:
    """Return the file with `keys` keys in `folder`, built if it is not there."""
    path = folder / f"stored-{keys}.db"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"unfinished-{keys}.db"
        unfinished.unlink(missing_ok=True)
        print(f"building {path} (about {keys * _BYTES_PER_KEY >> 20} MiB) ...", file=sys.stderr)
        started = time.monotonic()
        prepare(unfinished)
        with closing(sqlite3.connect(unfinished, isolation_level=None)) as file:
            _fill(file, keys)
        unfinished.rename(path)
        print(f"built in {time.monotonic() - started:.0f} s", file=sys.stderr)
    prepare(path)
    return path


def _fill(file: sqlite3.Connection, keys: int) -> None:
    for setting in ("synchronous = OFF", "cache_size = -200000"):
        file.execute(f"PRAGMA {setting}")  # a build that the power interrupts is begun anew
    tenants = (_row(_tenant(n), TENANT_COLUMNS) for n in range(-(-keys // KEYS_PER_TENANT)))
    _insert(file, "tenants", TENANT_COLUMNS, tenants)
    for first in range(0, keys, _BATCH):
        rows = (_row(_key(n), KEY_COLUMNS) for n in range(first, min(first + _BATCH, keys)))
        _insert(file, "keys", KEY_COLUMNS, rows)
        print(f"\r{min(first + _BATCH, keys):,} keys", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert(
    file: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Iterator[list[Any]]
) -> None:
    places = ", ".join("?" * len(columns))
    file.execute("BEGIN")
    file.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)
    file.execute("COMMIT")


def _row(record: KeyRecord | Tenant, columns: tuple[str, ...]) -> list[Any]:
    values = values_of(record)
    return [values[column] for column in columns]


def _tenant(n: int) -> Tenant:
    return Tenant(
        tenant_id=f"ten_{_letters('tenant', n)}",
        name=f"Tenant {n}",
        created_at=_BEGAN + n,
        revision=n + 1,
    )


def _key(n: int) -> KeyRecord:
    return KeyRecord(
        key_id=f"key_{_letters('key', n)}",
        lineage_id=f"lin_{_letters('lineage', n)}",
        tenant_id=f"ten_{_letters('tenant', n // KEYS_PER_TENANT)}",
        name=f"Production key {n}",
        format=FORMAT.name,
        environment="live",
        digest=digest(n),
        pepper_id="bench",
        display=FORMAT.display(token(n)),
        scopes=("jobs:read", "offers:read"),
        plan="wide",
        tags=(f"team-{n * 7919 % TEAMS}",),
        created_at=_BEGAN + n,
        expires_at=ENDS + n * 7919 % ENDS_WITHIN if n % 2 else None,
        last_used_at=_BEGAN + n * 104_729 % 10_000_019 if n % 10 else None,
        revision=100_000_000 + n,
    )


def _letters(kind: str, n: int) -> str:
    return hmac.digest(kind.encode(), b"%d" % n, "sha256").hex()[:32]
