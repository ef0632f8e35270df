"""A snapshot in a folder, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.domain.digest import Peppers
from gateway.domain.key_snapshots import Moment
from gateway.domain.keys import KeyRecord
from gateway.domain.tenants import Tenant
from gateway.stores.rows import values_of
from gateway.stores.snapshots.files import Files
from gateway.stores.snapshots.reading import Snapshot
from gateway.stores.snapshots.sealing import Seals
from tests.key_samples import a_key, a_tenant

STORE: Final = "the store"
HERE: Final = Moment(1000.0, 500.0, "b1")


def seals(pepper: bytes = b"p" * 32, name: str = "p1") -> Seals:
    return Seals(Peppers(name, {name: pepper}))


def row(record: KeyRecord | Tenant) -> list[Any]:
    return [*values_of(record).values()]


def keys(count: int) -> list[KeyRecord]:
    found = [a_key(f"key_{n}", tenant_id=f"ten_{n % 3}") for n in range(count)]
    return sorted(found, key=lambda key: key.digest)


def tenants() -> list[Tenant]:
    return [a_tenant(f"ten_{n}") for n in range(3)]


def files(folder: Path, given: Seals | None = None) -> Files:
    found = given or seals()
    return Files(folder / "keys.snapshot", lambda: found, STORE)


def write(
    into: Files,
    records: Sequence[KeyRecord],
    owners: Iterable[Tenant] = (),
    *,
    revision: int = 7,
    until: float | None = None,
) -> None:
    into.begin(revision, HERE, until)
    into.add_keys([row(key) for key in records])
    into.begin_tenants()
    into.add_tenants([row(tenant) for tenant in owners or tenants()])
    into.finish()


def reading(folder: Path, given: Seals | None = None, store: str = STORE) -> Snapshot:
    found = given or seals()
    snapshot = Snapshot(folder / "keys.snapshot", lambda: found, store)
    snapshot.refresh()
    return snapshot
