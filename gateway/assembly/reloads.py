"""Reloading, put together for one gateway: what asks for it, what does it, and what tells of it.

Knows which configuration was in force before: a rollback takes it again. As it is, with what `${file:...}` named, it is
kept in memory only: secrets are written to no disk. After a restart its texts are found in the history beside the store
(`KeptConfigurations`), and what they name is read as it is then. A restart begins with the file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.assembly.kept_configurations import KeptConfigurations
from gateway.assembly.planning import Planner
from gateway.assembly.succession import Succession, settle
from gateway.config.history import Texts
from gateway.config.load import Loaded, read
from gateway.config.model import Config
from gateway.config.planned import Planned
from gateway.config.reloading import Reloaded
from gateway.config.sources import Sources
from gateway.control.beside import beside
from gateway.control.reload import Reloader, ReloadRequests
from gateway.control.watch import Watch
from gateway.domain.change import Actor, Change, ChangeType, Order
from gateway.ports import Conflict, StoreUnavailable

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

_PATHS_TOLD_MAX: Final = 100
"""Changed keys that a record names; a rewritten file may have changed thousands."""

_log = logging.getLogger(__name__)


class InForce(NamedTuple):
    """A configuration that is or was in force, as generation `number`, since `taken_at`. `version` is the digest of its
    texts, empty where that is not known.
    """

    number: int
    config: Config
    version: str
    taken_at: float


class Reloads:
    """What a gateway needs to take another configuration. Its tasks are owned by `tasks` and end after `close`."""

    def __init__(
        self, gateway: Gateway, environ: Mapping[str, str], tasks: asyncio.TaskGroup
    ) -> None:
        self._gateway = gateway
        self._environ = environ
        self._succession = Succession(gateway)
        self.settling = self._succession.settling
        self._reloader = Reloader(self._read, check=self._check, apply=self._apply, told=self)
        self._planner = Planner(gateway)
        self._requests = ReloadRequests(self._reloader, lambda: gateway.config.reload)
        self._kept = KeptConfigurations(gateway.config, gateway.config_path, environ)
        self._present = InForce(gateway.number, gateway.config, "", gateway.clock.now())
        self._former: InForce | None = None
        self._of_files = gateway.config
        self._is_last_successful = True
        self._loaded_at = gateway.clock.now()
        self._restart_needed = 0
        self._tell_metrics()
        tasks.create_task(self._requests.run(), name="reloading")

    def watch(self, sources: Sources) -> None:
        """Notice when the files change from which the configuration in force was read."""
        self._reloader.watch = Watch(sources)

    async def began_with(self, texts: Texts) -> None:
        """Keep the texts of the configuration with which the gateway began."""
        self._present = self._present._replace(version=texts.version)
        await self._kept.note(texts, self._present.taken_at)

    def ask(self) -> None:
        """Reload soon."""
        self._requests.ask()

    async def reload(self, cause: str, actor: Actor | None = None) -> Reloaded:
        """Reload now. Raises `ReloadRefused`."""
        return await self._reloader.reload(cause, actor=actor)

    async def plan(self, first: int) -> Planned:
        """Say what a reload would do, and to whom: the `first` keys are named. Raises `ReloadRefused`,
        `StoreUnavailable`.
        """

        async def judge(wanted: Config) -> Planned:
            reloaded = await self._check(wanted)
            settled = await beside(settle, self._gateway.config, wanted)
            return await self._planner.plan(settled.config, reloaded, first)

        return await self._reloader.consider(judge)

    async def roll_back(self, order: Order) -> Reloaded:
        """Take the configuration from before the last change into force again; once more, and that one is taken.

        It holds until the files change again, or somebody asks for a reload. A dry run only says what it would do.
        Raises `Conflict` when there is none, and `ReloadRefused`.
        """
        if order.is_dry_run:
            return await self._reloader.check_former(self._required_former)
        return await self._reloader.roll_back(self._required_former, order)

    async def check(self) -> Reloaded:
        """Say what a reload would do. Raises `ReloadRefused`."""
        return await self._reloader.check()

    def stop(self) -> None:
        """Refuse every further reload."""
        self._requests.stop()

    def close(self) -> None:
        """End the waiting for what asks for reloads."""
        self._requests.stop()

    # ---- the configuration before

    async def _apply(self, wanted: Config) -> Reloaded:
        """Take `wanted` into force, and keep what was, unless it is the same."""
        before, was = self._present, self._origin(wanted)
        reloaded = await self._succession.apply(wanted)
        now = self._gateway.clock.now()
        self._present = InForce(self._gateway.number, self._gateway.config, was.version, now)
        if reloaded.changes:
            self._former = before
        texts = self._kept.texts_of(wanted)
        if texts is not None:
            is_same = not reloaded.changes and not reloaded.restart
            await self._kept.note(texts, now, before.version if is_same else "")
        return self._told_of(reloaded, was)

    async def _check(self, wanted: Config) -> Reloaded:
        return self._told_of(await self._succession.check(wanted), self._origin(wanted))

    def _origin(self, wanted: Config) -> InForce:
        """Return what is known of `wanted`: as which generation it was in force, 0 for one that is new, and when."""
        former = self._former
        if former is not None and wanted is former.config:
            return former
        return InForce(0, wanted, self._kept.version_of(wanted), self._kept.taken_at_of(wanted))

    @staticmethod
    def _told_of(reloaded: Reloaded, was: InForce) -> Reloaded:
        return replace(reloaded, again=was.number, version=was.version, taken_at=was.taken_at)

    async def _required_former(self) -> Config:
        if self._former is not None:
            return self._former.config
        found = await self._kept.before(self._gateway.config, self._present.version)
        if found is None:
            raise Conflict(
                "no other configuration was in force since the start, and none from before it is kept that differs"
            )
        return found

    # ---- `control.reload.Told`

    async def applied(self, reloaded: Reloaded, cause: str, actor: Actor | None) -> None:
        """Take note of a reload."""
        self._is_last_successful = True
        self._of_files = self._gateway.config
        self._restart_needed = len(reloaded.restart)
        self._taken("applied")
        await self._tell(ChangeType.CONFIG_RELOADED, cause, actor, _told(reloaded))

    async def rolled_back(self, reloaded: Reloaded, order: Order) -> None:
        """Take note of a rollback."""
        self._taken("rolled_back")
        after = _told(reloaded)
        await self._tell(
            ChangeType.CONFIG_ROLLED_BACK, order.actor.name, order.actor, after, order.reason
        )

    async def refused(self, why: str, cause: str, actor: Actor | None) -> None:
        """Take note of a reload that was refused."""
        self._is_last_successful = False
        self._gateway.recorders.metrics.count("config_reloads_total", "refused")
        await self._tell(ChangeType.CONFIG_RELOAD_REJECTED, cause, actor, {"why": why})

    def _taken(self, result: str) -> None:
        self._loaded_at = self._gateway.clock.now()
        self._gateway.recorders.metrics.count("config_reloads_total", result)

    async def _tell(
        self,
        event: ChangeType,
        cause: str,
        actor: Actor | None,
        after: Mapping[str, Any],
        reason: str = "",
    ) -> None:
        """Write it into the audit trail. A store that does not answer undoes nothing: what happened has happened."""
        change = Change(
            type=event,
            actor=actor or Actor(kind="system", name=cause),
            tenant_id="",
            reason=reason,
            after=after,
            at=self._gateway.clock.now(),
        )
        try:
            await self._gateway.audit.append(change)
        except StoreUnavailable as error:
            self._gateway.recorders.count_unaudited()
            _log.error("%s is missing in the audit trail: %s", event, error)

    def _read(self) -> Loaded:
        loaded = read(self._gateway.config_path, self._environ)
        self._kept.met(loaded)
        return loaded

    def _tell_metrics(self) -> None:
        metrics = self._gateway.recorders.metrics
        metrics.watch("config_generation", lambda: self._gateway.number)
        metrics.watch("config_last_reload_successful", lambda: int(self._is_last_successful))
        metrics.watch("config_last_reload_success_timestamp_seconds", lambda: self._loaded_at)
        metrics.watch("config_restart_needed", lambda: self._restart_needed)
        metrics.watch("config_rolled_back", lambda: int(self._gateway.config is not self._of_files))


def _told(reloaded: Reloaded) -> dict[str, Any]:
    """Return what the audit trail tells of a configuration that was taken: paths, never values."""
    return {
        "generation": reloaded.generation,
        **({"again": reloaded.again} if reloaded.again else {}),
        **({"version": reloaded.version} if reloaded.version else {}),
        "changed": [change.path for change in reloaded.changes[:_PATHS_TOLD_MAX]],
        "restart": [*reloaded.restart[:_PATHS_TOLD_MAX]],
    }
