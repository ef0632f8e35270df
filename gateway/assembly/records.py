"""What is kept of what happened, put together: the audit trail with its keeper, and the request log.

Knows which files of the configuration they are, and what is done again and again for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from gateway.assembly.access_logs import OFF
from gateway.assembly.errors import CannotStart
from gateway.audit.files import AuditFiles, Unusable
from gateway.audit.keeper import SYSTEM, Keeper, Pace
from gateway.audit.room import AuditRoom
from gateway.config import model
from gateway.config.places import anchored
from gateway.control.periodic import Periodic
from gateway.domain.change import Order
from gateway.ports import AuditTrail, Clock, StoreUnavailable
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.request_log import FileRequestLog

_log = logging.getLogger(__name__)

_KEEP_SECONDS: Final = 1.0
"""How long a record is without a signature: what could be cut off unnoticed."""

_REMOVE_SECONDS: Final = 60.0
"""How often what is too old, or too much, is looked for."""


def audit_files(config: model.Config, path: Path) -> AuditFiles:
    """Return the files beside the store."""
    store = anchored(path, config.store.path)
    return AuditFiles(
        anchored(path, config.audit.key) if config.audit.key else store.parent / "audit.key"
    )


def make_keeper(
    config: Callable[[], model.Config],
    path: Path,
    trail: AuditTrail,
    clock: Clock,
    count: Callable[[str], None] = lambda _: None,
    signs: Callable[[], bool] = lambda: True,
    is_vouched: Callable[[], bool] = lambda: False,
) -> Keeper:
    """Return who looks after `trail`. Raises `CannotStart` when the key cannot be read or made."""
    files = audit_files(config(), path)
    try:
        signer = files.signer()
    except Unusable as error:
        raise CannotStart(str(error)) from error

    def pace() -> Pace:
        section = config().audit
        return Pace(seconds=section.checkpoint_every, records=section.checkpoint_records)

    return Keeper(
        *(trail, files, signer, clock),
        pace=pace,
        count=count,
        signs=signs,
        is_vouched=is_vouched,
    )


def make_request_log(config: model.Config, path: Path, clock: Clock) -> FileRequestLog:
    """Return the request log for those who search it."""
    folder = config.request_log.path
    return FileRequestLog(None if folder == OFF else anchored(path, folder), clock)


class Records:
    """The audit trail (`audit`) and the request log (`requests`) of a running gateway.

    Of several that share the trail, the one that `leads` sets checkpoints and removes what is old; a gateway that is
    `joining` others need not have kept the trail before.
    """

    def __init__(
        self,
        config: Callable[[], model.Config],
        path: Path,
        trail: AuditTrail,
        clock: Clock,
        metrics: Metrics,
        *,
        leads: Callable[[], bool] = lambda: True,
        joining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._leads = leads
        self._config = config
        self._clock = clock
        self._keeper = make_keeper(
            *(config, path, trail, clock),
            lambda event: metrics.count("audit_events_total", event),
            signs=leads,
            is_vouched=joining,
        )
        self.audit = AuditRoom(self._keeper, clock)
        self.requests = make_request_log(config(), path, clock)
        metrics.watch("audit_head_seq", lambda: self._keeper.head.seq)
        metrics.watch("audit_intact", lambda: int(self._keeper.fault is None))
        metrics.watch("request_log_bytes", lambda: self.requests.bytes)

    async def start(
        self, tasks: asyncio.TaskGroup, stack: AsyncExitStack, *, is_late: bool = False
    ) -> None:
        """Begin the work that is done again and again; it ends with `stack`, in `tasks`.

        The trail of a store that comes late is looked at then.
        """
        if not is_late:
            await self._keeper.keep()
        stack.push_async_callback(self._close)
        for work in (
            Periodic("signing the audit trail", lambda: _KEEP_SECONDS, self._keeper.keep),
            Periodic("removing old audit records", lambda: _REMOVE_SECONDS, self._prune),
            Periodic("removing old requests", lambda: _REMOVE_SECONDS, self._remove_requests),
        ):
            tasks.create_task(work.run(), name=work.name)
            stack.callback(work.stop)

    async def _close(self) -> None:
        try:
            await self._keeper.close()
        except (StoreUnavailable, OSError) as error:
            _log.error("the audit trail is not signed at the end: %s", error)

    async def _prune(self) -> None:
        retention = self._config().audit.retention
        if retention is not None and self._keeper.fault is None and self._leads():
            order = Order(actor=SYSTEM, reason="audit.retention")
            await self.audit.prune(self._clock.now() - retention, order)

    async def _remove_requests(self) -> None:
        section = self._config().request_log
        await self.requests.remove_old(section.retention, section.bytes_max)
