"""From one edition to the next: prepared and tried beside the running one, then put in its place in one step.

Knows the order of a reload. Whatever fails before the step leaves everything as it was, but for what the bootstrap
section had brought into the store by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.assembly.access_logs import OpenLog
from gateway.assembly.draft import draft
from gateway.assembly.edition import Edition, make_edition, unshared
from gateway.assembly.errors import CannotStart
from gateway.assembly.keys import bootstrap, make_keyring
from gateway.assembly.runtime import Runtime
from gateway.assembly.self_test import faults
from gateway.assembly.tls_files import Prepared
from gateway.config import model
from gateway.config.changes import Change, changes, keep_running
from gateway.config.load import broken_rules
from gateway.config.problems import written
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.control.beside import beside
from gateway.control.retirement import Retirement
from gateway.listeners.public import PublicListener
from gateway.ports import StoreUnavailable

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Plan:
    """What is known of a reload before anything was done."""

    config: model.Config
    changes: list[Change]
    restart: list[str] = field(default_factory=list)


def plan(running: model.Config, wanted: model.Config) -> Plan:
    """Return what a reload to `wanted` would take, and what it would leave to a restart.

    Raises `ReloadRefused` when what it would take does not go together with what it would leave.
    """
    settled, restart = keep_running(running, wanted)
    if restart:
        for finding in broken_rules(settled):
            raise ReloadRefused(
                f"needs a restart: {', '.join(restart)} stay as they are until then, and do not go together with the"
                f" rest: {written(finding.path)}: {finding.message}"
            )
    return Plan(settled, changes(running, settled), restart)


class Succession:
    """Makes the next edition and puts it in the place of the present one. `install` does the step itself."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        present: Callable[[], Edition],
        install: Callable[[Edition], None],
        listener: PublicListener,
        retirement: Retirement,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._runtime = runtime
        self._present = present
        self._install = install
        self._listener = listener
        self._retirement = retirement
        self._is_stopped = is_stopped
        self.settling = present().keys.lookups.settling

    async def check(self, wanted: model.Config) -> Reloaded:
        """Say what `apply` would do. Raises `ReloadRefused`."""
        before = self._present()
        found = await beside(plan, before.config, wanted)
        await self._certificates(found.config)
        edition = await self._made(found.config, before)
        edition.discard(before)
        return Reloaded(
            generation=before.generation.number, changes=found.changes, restart=found.restart
        )

    async def apply(self, wanted: model.Config) -> Reloaded:
        """Take `wanted` into force. Raises `ReloadRefused`, and then everything is as it was."""
        before = self._present()
        found = await beside(plan, before.config, wanted)
        certificates = await self._certificates(found.config)
        edition = await self._made(found.config, before)
        log: OpenLog | None = None
        try:
            log = self._runtime.recorders.open_log(found.config)
            async with self.settling:
                changed = await self._bring_up(edition, before)
                self._replace(before, edition, log, certificates)
                edition.keys.invalidate(changed)
        except (CannotStart, StoreUnavailable, OSError, ReloadRefused) as error:
            edition.discard(before)
            await self._close_unused(log)
            raise (
                error if isinstance(error, ReloadRefused) else ReloadRefused(str(error))
            ) from error
        return Reloaded(
            generation=edition.generation.number, changes=found.changes, restart=found.restart
        )

    async def _certificates(self, config: model.Config) -> Prepared:
        try:
            return await beside(self._runtime.certificates.prepare, config)
        except CannotStart as error:
            raise ReloadRefused(str(error)) from error

    async def _made(self, config: model.Config, before: Edition) -> Edition:
        try:
            drafted = await beside(draft, config, self._runtime.config_path, before.draft.plans)
            edition = make_edition(drafted, before.generation.number + 1, self._runtime, before)
        except CannotStart as error:
            raise ReloadRefused(str(error)) from error
        found = await beside(faults, edition)
        if found:
            edition.discard(before)
            raise ReloadRefused("; ".join(found))
        return edition

    async def _bring_up(self, edition: Edition, before: Edition) -> list[str]:
        """Store the tenants and keys that are declared anew; return what the present edition does not know of yet.

        It goes on with what it has in memory: a key that moved to a plan which only the next edition knows would
        serve nobody until then.
        """
        changed: list[str] = []
        runtime = self._runtime
        keyring = make_keyring(edition.config, runtime.store, runtime.clock, changed.extend)
        await bootstrap(edition.config.bootstrap, keyring, before.config.bootstrap)
        if self._is_stopped():
            raise ReloadRefused("the gateway is stopping")
        return changed

    def _replace(
        self, before: Edition, edition: Edition, log: OpenLog | None, certificates: Prepared
    ) -> None:
        """Put `edition` in the place of `before`. Nothing else happens meanwhile: there is no wait in here."""
        earlier = self._listener.exchanges()
        self._install(edition)
        self._runtime.follow(edition.config)
        self._runtime.certificates.replace(certificates)
        replaced = self._runtime.recorders.follow(edition.config, log)
        if replaced is not None:
            self._retirement.finish("the access log", replaced.close())

        def is_anyone_left() -> bool:
            """Tell whether a request from before may still turn to an upstream."""
            earlier[:] = [each for each in earlier if not (each.finished.is_set or each.is_begun)]
            return bool(earlier)

        for service in unshared(before, edition):
            service.drain()
            self._retirement.retire(
                f"upstream {service.name}",
                lambda service=service: is_anyone_left() or not service.is_empty,  # type: ignore[misc]
                service.close,
                edition.config.reload.drain_timeout,
            )

    async def _close_unused(self, log: OpenLog | None) -> None:
        if log is not None and log is not self._runtime.recorders.log:
            await log.close()
