"""Opens the key store and the door through which keys and tenants change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from gateway.assembly import policy, stores
from gateway.assembly.errors import CannotStart
from gateway.assembly.snapshots import left_path
from gateway.config import model
from gateway.control.clock import SystemClock
from gateway.domain.change import Actor, Order
from gateway.domain.enforcement import Enforced
from gateway.domain.key_rules import Refused
from gateway.domain.keys import KeyKind, KeyRecord
from gateway.domain.streams import Condemn
from gateway.domain.tenants import Tenant
from gateway.keyring.door import Keyring
from gateway.keyring.ledger import NotFound
from gateway.ports import Clock, Conflict, Enforce, KeyStore
from gateway.stores.snapshots.files import drop

_log = logging.getLogger(__name__)

_BOOTSTRAP = Order(actor=Actor(kind="bootstrap", name="config"))


def make_keyring(config: model.Config, store: KeyStore, clock: Clock, enforce: Enforce) -> Keyring:
    """Return the keyring over `store`, under the rules of `config`."""
    return Keyring(
        store=store,
        formats=policy.key_formats(config),
        scopes=policy.scopes(config),
        plans=policy.caller_plans(config),
        peppers=policy.peppers(config),
        templates=policy.templates(config),
        clock=clock,
        enforce=enforce,
        environment_aliases=policy.environment_aliases(config),
        policies=policy.key_policies(config),
        declared_tenants=frozenset(each.id for each in config.bootstrap.tenants),
    )


@asynccontextmanager
async def open_keyring(config: model.Config, config_path: Path) -> AsyncIterator[Keyring]:
    """Open the store by itself, for commands that work on the file of a gateway that may not be running."""
    clock = SystemClock()
    async with stores.opened(config, config_path) as found:
        yield make_keyring(config, found.store, clock, alone(config, config_path, clock))


def alone(config: model.Config, config_path: Path, clock: Clock) -> Enforce:
    """Return what enforces a change that a command makes by itself: no snapshot without it may be left.

    A gateway that runs polls the store's revision, and writes another snapshot.
    """
    path = None if config.store.url.get_secret_value() else left_path(config, config_path)
    there = nobody(clock)

    async def enforce(ids: Collection[str], condemn: Condemn | None) -> Enforced:
        enforced = await there(ids, condemn)
        if path is None or not ids:
            return enforced
        try:
            await asyncio.to_thread(drop, path)
        except OSError as error:
            _log.error("the snapshot of the keys %s misses a change: remove it: %s", path, error)
            name = f"the snapshot of the keys {path}"
            return replace(enforced, of=enforced.of + 1, silent=(*enforced.silent, name))
        return enforced

    return enforce


def nobody(clock: Clock) -> Enforce:
    """Return what enforces a change where nobody serves."""

    async def enforce(_: Collection[str], __: Condemn | None) -> Enforced:
        return Enforced(effective_at=clock.now(), acknowledged=0, of=0)

    return enforce


async def bootstrap(
    section: model.Bootstrap, keyring: Keyring, before: model.Bootstrap | None = None
) -> None:
    """Bring the store up to what the config declares, but for what was declared in the same way before.

    Safe to repeat. Raises `CannotStart` when the store holds another key or tenant under a declared id or hash.
    """
    known = before or model.Bootstrap()
    try:
        await _bootstrap_tenants(_not_in(section.tenants, known.tenants), keyring)
        await _bootstrap_keys(_not_in(section.keys, known.keys), keyring)
    except (Conflict, Refused) as error:
        raise CannotStart(f"bootstrap: {error}") from error


_Entry = TypeVar("_Entry", model.BootstrapTenant, model.BootstrapKey)


def _not_in(entries: Iterable[_Entry], known: Iterable[_Entry]) -> list[_Entry]:
    by_id = {entry.id: entry for entry in known}
    return [entry for entry in entries if by_id.get(entry.id) != entry]


async def _bootstrap_tenants(tenants: Iterable[model.BootstrapTenant], keyring: Keyring) -> None:
    for tenant in sorted(tenants, key=lambda tenant: tenant.parent != ""):  # parents come first
        await keyring.tenants.import_(
            Tenant(
                tenant_id=tenant.id,
                name=tenant.name,
                plan=tenant.plan,
                ip_allowlist=tenant.ip_allowlist.allow,
                ip_allowlist_enabled=tenant.ip_allowlist.enabled
                and bool(tenant.ip_allowlist.allow),
                default_template=tenant.default_template,
                parent_id=tenant.parent,
                ip_allowlist_mode=tenant.ip_allowlist.mode,
                metadata=tenant.metadata,
                alerts=await _alerts(tenant, keyring),
            ),
            _BOOTSTRAP,
        )


async def _alerts(tenant: model.BootstrapTenant, keyring: Keyring) -> Mapping[str, Any]:
    """Return the alert settings of a tenant: those of the file, or what is stored where it says nothing."""
    if tenant.alerts is not None:
        return tenant.alerts
    try:
        return (await keyring.tenants.get(tenant.id)).alerts
    except NotFound:
        return {}


async def _bootstrap_keys(keys: Iterable[model.BootstrapKey], keyring: Keyring) -> None:
    await keyring.import_keys(
        [
            KeyRecord(
                key_id=key.id,
                lineage_id=key.id,
                tenant_id=key.tenant,
                name=key.name,
                format=key.format,
                environment=key.environment,
                kind=KeyKind(key.kind),
                tenants=key.tenants,
                digest=bytes.fromhex(key.hash),
                pepper_id=key.pepper,
                display=key.display,
                scopes=key.scopes,
                ip_allowlist=key.ip_allowlist,
                ip_allowlist_mode=key.ip_allowlist_mode,
                plan=key.plan,
                tags=key.tags,
                metadata=key.metadata,
                expires_at=key.expires_at,
            )
            for key in keys
        ],
        _BOOTSTRAP,
    )
