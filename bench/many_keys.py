"""A store with as many keys as one likes, written straight into its tables: through the API it would take an hour.

The token of each follows from its number, so that a load can ask for any of a million without remembering them.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from bench.everything import LOOPBACK
from bench.policy import FORMAT, PEPPER, Policy
from gateway.domain.keys import KeyRecord, KeyState
from gateway.domain.tenants import Tenant
from gateway.stores.migrations import prepare
from gateway.stores.rows import KEY_COLUMNS, TENANT_COLUMNS, values_of

KEYS_PER_TENANT: Final = 100
_CREATED: Final = 1_700_000_000.0
_REVISION: Final = 1
_COUNTS: Final = (
    "INSERT INTO key_counts (state, environment, count)"
    " SELECT state, environment, count(*) FROM keys GROUP BY state, environment"
)


def token(number: int) -> str:
    """Return the token of key `number`; hexadecimal digits are Base62, too."""
    letters = hashlib.sha256(b"many keys %d" % number).hexdigest()[: FORMAT.random_length]
    return FORMAT.mint("live", letters)


def fill(path: Path, count: int, policy: Policy) -> None:
    """Make a store with `count` keys that hold every scope, a tenant for every hundred of them."""
    prepare(path)
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("PRAGMA synchronous = OFF")  # written once, then only read
        store.execute("PRAGMA cache_size = -400000")
        store.execute("UPDATE store SET revision = ?", (_REVISION,))
        with _bare(store):
            tenants = range(-(-count // KEYS_PER_TENANT))
            store.executemany(_insert("tenants", TENANT_COLUMNS), map(_tenant, tenants))
            store.executemany(_insert("keys", KEY_COLUMNS), _keys(count, policy))
            store.execute(_COUNTS)  # which triggers do otherwise


@contextmanager
def _bare(store: sqlite3.Connection) -> Iterator[None]:
    """Take indexes and triggers away and put them back: to build an index once is five times as fast."""
    found = store.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql > ''"
    ).fetchall()
    for kind, name, _ in found:
        store.execute(f"DROP {kind} {name}")
    yield
    for _, _, sql in found:
        store.execute(sql)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES (:{', :'.join(columns)})"


def _tenant(number: int) -> dict[str, Any]:
    return values_of(
        Tenant(
            tenant_id=_tenant_id(number),
            name=f"Tenant {number}",
            ip_allowlist=tuple(LOOPBACK),
            ip_allowlist_enabled=True,
            plan="per-tenant",
            created_at=_CREATED,
            revision=_REVISION,
        )
    )


def _keys(count: int, policy: Policy) -> Iterator[dict[str, Any]]:
    pattern = values_of(
        KeyRecord(
            key_id="", lineage_id="", tenant_id="", name="", format=FORMAT.name,
            environment="live", digest=b"", pepper_id="bench", display="",
            state=KeyState.ACTIVE, scopes=policy.scopes, ip_allowlist=tuple(LOOPBACK),
            plan="wide", created_at=_CREATED, revision=_REVISION,
        )
    )  # fmt: skip
    pepper = PEPPER.encode()
    for number in range(count):
        name = f"many-{number:07d}"
        yield pattern | {
            "key_id": name,
            "lineage_id": name,
            "name": name,
            "tenant_id": _tenant_id(number // KEYS_PER_TENANT),
            "digest": hmac.digest(pepper, token(number).encode(), "sha256"),
        }


def _tenant_id(number: int) -> str:
    return f"many-{number:05d}"
