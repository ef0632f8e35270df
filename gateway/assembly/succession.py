"""From one configuration to the next: tried by everybody who serves, then put into force everywhere, or nowhere.

Knows the order of a reload. Whatever fails before the last step leaves everything as it was, but for what the bootstrap
section had brought into the store by then. What a data plane does meanwhile is in `heir`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.assembly.errors import CannotStart
from gateway.assembly.keys import bootstrap, make_keyring
from gateway.assembly.tls_files import Prepared
from gateway.config import model
from gateway.config.changes import Change, changes, keep_running
from gateway.config.load import broken_rules
from gateway.config.problems import written
from gateway.config.reloading import Reloaded, ReloadRefused
from gateway.control.beside import beside
from gateway.domain.enforcement import Enforced
from gateway.domain.streams import Condemn
from gateway.domain.withdrawal import together
from gateway.ports import StoreUnavailable

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway


@dataclass(slots=True)
class Settled:
    """What is known of a reload before anything was done."""

    config: model.Config
    changes: list[Change]
    restart: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Brought:
    """What the bootstrap section has changed in the store: whose records, and what that takes from open streams."""

    ids: list[str] = field(default_factory=list)
    condemns: list[Condemn] = field(default_factory=list)


def settle(running: model.Config, wanted: model.Config) -> Settled:
    """Return what a reload to `wanted` would take, and what it would leave to a restart.

    Raises `ReloadRefused` when what it would take does not go together with what it would leave, or locks all out.
    """
    _require_peppers(running, wanted)
    settled, restart = keep_running(running, wanted)
    if restart:
        for finding in broken_rules(settled):
            raise ReloadRefused(
                f"needs a restart: {', '.join(restart)} stay as they are until then, and do not go together with the"
                f" rest: {written(finding.path)}: {finding.message}"
            )
    return Settled(settled, changes(running, settled), restart)


def _require_peppers(running: model.Config, wanted: model.Config) -> None:
    """Raise `ReloadRefused` for a pepper that became another one: every key hashed with it would be unknown."""
    kept = wanted.peppers.keys
    for pepper_id, secret in running.peppers.keys.items():
        if pepper_id in kept and kept[pepper_id] != secret:
            raise ReloadRefused(
                f"peppers.{pepper_id} is another secret than the one in force, and every key that was hashed with that"
                " one would be refused: give the new one an id of its own, keep the old one, and name the new one in"
                " peppers.current. Should the one in force be wrong, restart"
            )


class Succession:
    """Brings the next configuration of `gateway` into force. `settling` is held while the store is ahead of it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.settling = asyncio.Lock()

    async def check(self, wanted: model.Config) -> Reloaded:
        """Say what `apply` would do. Raises `ReloadRefused`."""
        gateway = self._gateway
        found = await beside(settle, gateway.config, wanted)
        await self._certificates(found.config)
        try:
            await gateway.crew.prepare(gateway.number + 1, found.config)
        finally:
            await gateway.crew.abandon()
        return Reloaded(generation=gateway.number, changes=found.changes, restart=found.restart)

    async def apply(self, wanted: model.Config) -> Reloaded:
        """Take `wanted` into force. Raises `ReloadRefused`, and then everything is as it was."""
        gateway = self._gateway
        found = await beside(settle, gateway.config, wanted)
        certificates = await self._certificates(found.config)
        number = gateway.number + 1
        try:
            await gateway.crew.prepare(number, found.config)
            async with self.settling:
                brought = await self._bring_up(found.config)
                gateway.certificates.replace(certificates)
                gateway.follow(number, found.config)
                await gateway.crew.install(number, found.config, brought.ids)
                # Now that nobody begins by what was before: what the bootstrap section took away ends.
                condemn = together(brought.condemns)
                if condemn is not None:
                    await gateway.crew.streams.cut(condemn)
        except (CannotStart, StoreUnavailable) as error:
            raise ReloadRefused(str(error)) from error
        finally:
            await gateway.crew.abandon()
        return Reloaded(generation=number, changes=found.changes, restart=found.restart)

    async def _certificates(self, config: model.Config) -> Prepared:
        try:
            return await beside(self._gateway.certificates.prepare, config)
        except CannotStart as error:
            raise ReloadRefused(str(error)) from error

    async def _bring_up(self, config: model.Config) -> _Brought:
        """Store the tenants and keys that are declared anew; return what is not to be known before the next step.

        Whoever serves goes on with what it has in memory: a key that moved to a plan which only the next generation
        knows would serve nobody until then.
        """
        brought = _Brought()
        gateway = self._gateway

        async def later(ids: Collection[str], condemn: Condemn | None) -> Enforced:
            brought.ids.extend(ids)
            if condemn is not None:
                brought.condemns.append(condemn)
            return Enforced(effective_at=gateway.clock.now(), acknowledged=0, of=0)

        keyring = make_keyring(config, gateway.store, gateway.clock, later)
        await bootstrap(config.bootstrap, keyring, gateway.config.bootstrap)
        if gateway.is_draining:
            raise ReloadRefused("the gateway is stopping")
        return brought
