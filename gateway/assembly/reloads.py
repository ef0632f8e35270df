"""Reloading, put together for one gateway: what asks for it, what does it, and what tells of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.admin.config import ConfigRoutes
from gateway.assembly.succession import Succession
from gateway.config.load import Loaded, read
from gateway.config.reloading import Reloaded
from gateway.config.sources import Sources
from gateway.control.reload import Reloader, ReloadRequests
from gateway.control.watch import Watch
from gateway.domain.change import Actor, Change, ChangeType
from gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

_PATHS_TOLD_MAX: Final = 100
"""Changed keys that a record names; a rewritten file may have changed thousands."""

_log = logging.getLogger(__name__)


class Reloads:
    """What a gateway needs to take another configuration. Its tasks are owned by `tasks` and end after `close`."""

    def __init__(
        self, gateway: Gateway, environ: Mapping[str, str], tasks: asyncio.TaskGroup
    ) -> None:
        self._gateway = gateway
        self._environ = environ
        succession = Succession(gateway)
        self.settling = succession.settling
        self._reloader = Reloader(
            self._read, check=succession.check, apply=succession.apply, told=self
        )
        self._requests = ReloadRequests(self._reloader, lambda: gateway.config.reload)
        self._is_last_successful = True
        self._loaded_at = gateway.clock.now()
        self._restart_needed = 0
        self._tell_metrics()
        tasks.create_task(self._requests.run(), name="reloading")

    def watch(self, sources: Sources) -> None:
        """Notice when the files change from which the configuration in force was read."""
        self._reloader.watch = Watch(sources)

    def ask(self) -> None:
        """Reload soon."""
        self._requests.ask()

    async def reload(self, cause: str) -> Reloaded:
        """Reload now. Raises `ReloadRefused`."""
        return await self._reloader.reload(cause)

    def routes(self) -> ConfigRoutes:
        """Return the routes of the admin API."""

        async def reload(actor: Actor) -> Reloaded:
            return await self._reloader.reload(f"{actor.kind} {actor.name}", actor=actor)

        return ConfigRoutes(reload, self._reloader.check)

    def stop(self) -> None:
        """Refuse every further reload."""
        self._requests.stop()

    def close(self) -> None:
        """End the waiting for what asks for reloads."""
        self._requests.stop()

    # ---- `control.reload.Told`

    async def applied(self, reloaded: Reloaded, cause: str, actor: Actor | None) -> None:
        """Take note of a reload."""
        self._is_last_successful = True
        self._loaded_at = self._gateway.clock.now()
        self._restart_needed = len(reloaded.restart)
        self._gateway.recorders.metrics.count("config_reloads_total", "applied")
        after = {
            "generation": reloaded.generation,
            "changed": [change.path for change in reloaded.changes[:_PATHS_TOLD_MAX]],
            "restart": [*reloaded.restart[:_PATHS_TOLD_MAX]],
        }
        await self._tell(ChangeType.CONFIG_RELOADED, cause, actor, after)

    async def refused(self, why: str, cause: str, actor: Actor | None) -> None:
        """Take note of a reload that was refused."""
        self._is_last_successful = False
        self._gateway.recorders.metrics.count("config_reloads_total", "refused")
        await self._tell(ChangeType.CONFIG_RELOAD_REJECTED, cause, actor, {"why": why})

    async def _tell(
        self, event: ChangeType, cause: str, actor: Actor | None, after: Mapping[str, Any]
    ) -> None:
        """Write it into the audit trail. A store that does not answer undoes nothing: what happened has happened."""
        change = Change(
            type=event,
            actor=actor or Actor(kind="system", name=cause),
            tenant_id="",
            after=after,
            at=self._gateway.clock.now(),
        )
        try:
            await self._gateway.audit.append(change)
        except StoreUnavailable as error:
            _log.error("%s is missing in the audit trail: %s", event, error)

    def _read(self) -> Loaded:
        return read(self._gateway.config_path, self._environ)

    def _tell_metrics(self) -> None:
        metrics = self._gateway.recorders.metrics
        metrics.watch("config_generation", lambda: self._gateway.number)
        metrics.watch("config_last_reload_successful", lambda: int(self._is_last_successful))
        metrics.watch("config_last_reload_success_timestamp_seconds", lambda: self._loaded_at)
        metrics.watch("config_restart_needed", lambda: self._restart_needed)
