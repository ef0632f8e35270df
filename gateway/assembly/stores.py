"""Opens the store that the configuration names: a SQLite file, or a PostgreSQL database.

Knows which it is, and that the driver of databases is only there where it was installed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.assembly.errors import CannotStart
from gateway.config import model
from gateway.config.places import anchored
from gateway.domain.database_address import DatabaseAddress, read_address
from gateway.ports import AuditTrail, KeptAlerts, KeyFinder, KeyRows, KeyStore, UsageStore
from gateway.stores import sqlite

if TYPE_CHECKING:
    from gateway.stores.postgres.access import Access
    from gateway.stores.postgres.database import Database


@dataclass(frozen=True, slots=True)
class Opened:
    """A store and what lies beside the keys; `database` is None for a file, which only one gateway uses."""

    store: KeyStore
    audit: AuditTrail
    usage: UsageStore
    alerts: KeptAlerts
    rows: KeyRows
    database: Database | None = None


@asynccontextmanager
async def opened(
    config: model.Config, path: Path, *, must_exist: bool = False
) -> AsyncIterator[Opened]:
    """Open the store, create or migrate it, and close it at the end. Raises `StoreUnavailable`, `CannotStart`.

    With `must_exist` no file is created.
    """
    if not config.store.url.get_secret_value():
        file_path = anchored(path, config.store.path)
        async with sqlite.opened(file_path, must_exist=must_exist) as file:
            yield Opened(file, file.audit, file.usage, file.alerts, file)
        return
    _require_driver()
    from gateway.stores.postgres import opening
    from gateway.stores.postgres.store import PostgresStore

    async with opening.opened(access(config, path), config.store.connections_max) as database:
        store = PostgresStore(database)
        yield Opened(store, store.audit, store.usage, store.alerts, store, database)


@asynccontextmanager
async def opened_to_find(config: model.Config, path: Path) -> AsyncIterator[KeyFinder]:
    """Open a store that another process of this gateway has made ready, for nothing but to find keys."""
    if not config.store.url.get_secret_value():
        async with sqlite.opened_to_find(anchored(path, config.store.path)) as finder:
            yield finder
        return
    _require_driver()
    from gateway.stores.postgres import opening
    from gateway.stores.postgres.store import PostgresFinder

    way = access(config, path)
    async with opening.opened_to_find(way, config.store.connections_max) as database:
        yield PostgresFinder(database)


@asynccontextmanager
async def opened_to_read(config: model.Config, path: Path) -> AsyncIterator[Opened]:
    """Open a store that must be there, for nothing but to read: it is not even migrated.

    Raises `StoreUnavailable`, `CannotStart`.
    """
    if not config.store.url.get_secret_value():
        async with sqlite.opened_to_read(anchored(path, config.store.path)) as file:
            yield Opened(file, file.audit, file.usage, file.alerts, file)
        return
    _require_driver()
    from gateway.stores.postgres import opening
    from gateway.stores.postgres.store import PostgresStore

    async with opening.opened_to_read(access(config, path)) as database:
        store = PostgresStore(database)
        yield Opened(store, store.audit, store.usage, store.alerts, store, database)


def access(config: model.Config, path: Path) -> Access:
    """Return the way to the database."""
    section = config.store
    address = read_address(section.url.get_secret_value())
    return access_to(config, path, address, is_pooled=bool(section.session_url.get_secret_value()))


def session_access(config: model.Config, path: Path) -> Access:
    """Return the way to the database for the connection that no pooler may share."""
    section = config.store
    direct = section.session_url.get_secret_value() or section.url.get_secret_value()
    return access_to(config, path, read_address(direct))


def access_to(
    config: model.Config, path: Path, address: DatabaseAddress, *, is_pooled: bool = False
) -> Access:
    """Return the way to the database at `address`, with the TLS of the configuration. Raises `CannotStart`."""
    _require_driver()
    from gateway.stores.postgres.access import Access

    tls = config.store.tls
    ca, certificate, key = (
        anchored(path, name) if name else None for name in (tls.ca, tls.certificate, tls.key)
    )
    return Access(
        address=address,
        ca=ca,
        certificate=certificate,
        key=key,
        is_pooled=is_pooled,
        is_preparing=config.store.prepared_statements,
    )


def _require_driver() -> None:
    try:
        import asyncpg  # noqa: F401 - looked for where it can be said what is missing
    except ImportError as error:
        raise CannotStart(
            "store.url: PostgreSQL needs the driver asyncpg: pip install 'tollhouse[postgres]'"
        ) from error
