"""Opens what commands work on that do without a running gateway: the store, its audit trail, usage, the request log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.assembly import stores
from gateway.assembly.keys import alone, make_keyring
from gateway.assembly.records import make_keeper, make_request_log
from gateway.assembly.usage import retention
from gateway.audit.room import AuditRoom
from gateway.config import model
from gateway.control.clock import SystemClock
from gateway.keyring.door import Keyring
from gateway.ports import KeptUsage
from gateway.telemetry.request_log import FileRequestLog


@dataclass(frozen=True, slots=True)
class Offline:
    """What the admin API needs where no gateway runs."""

    keyring: Keyring
    audit: AuditRoom
    request_log: FileRequestLog
    usage: KeptUsage


@asynccontextmanager
async def open_offline(config: model.Config, config_path: Path) -> AsyncIterator[Offline]:
    """Open the store by itself; what was written to the audit trail is signed at the end.

    Raises `StoreUnavailable`, `CannotStart`.
    """
    clock = SystemClock()
    async with stores.opened(config, config_path) as found:
        keeper = make_keeper(lambda: config, config_path, found.audit, clock)
        yield Offline(
            make_keyring(config, found.store, clock, alone(config, config_path, clock)),
            AuditRoom(keeper, clock),
            make_request_log(config, config_path, clock),
            KeptUsage(found.usage, lambda: retention(config)),
        )
        await keeper.close()
