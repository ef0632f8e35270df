"""Usage, put together: what counts it, where it is written, and who knows the country of a network.

Knows what the configuration says of usage, and what is done again and again for it. There is one writer, in the process
of a gateway that writes to the store; workers tell it what they have counted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from gateway.assembly.errors import CannotStart
from gateway.assembly.recorders import Recorders
from gateway.config import model
from gateway.config.places import anchored
from gateway.control.periodic import Periodic
from gateway.domain.usage import Retention
from gateway.ports import Clock, KeptUsage, StoreUnavailable, UsageStore
from gateway.telemetry.geoip import GeoIp, GeoIpUnusable
from gateway.telemetry.top_keys import TopKeys
from gateway.telemetry.usage_writer import UsageWriter

_WRITE_SECONDS: Final = 1.0
"""How often usage is written: what a `kill -9` can lose."""

_ROLL_SECONDS: Final = 10.0
_PRUNE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 60.0
"""How soon a replaced GeoIP database is noticed."""

_log = logging.getLogger(__name__)


def retention(config: model.Config) -> Retention:
    """Return how long usage is kept."""
    section = config.usage
    return Retention(
        minute_seconds=section.minute_retention,
        hour_seconds=section.hour_retention,
        day_seconds=section.day_retention,
        facet_seconds=section.facet_retention,
    )


class Usage:
    """The writer of usage and what belongs to it; `kept` is for those who ask."""

    def __init__(
        self,
        config: Callable[[], model.Config],
        path: Path,
        store: UsageStore,
        clock: Clock,
        recorders: Recorders,
        *,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Of several gateways that share the store, the one that `leads` adds up and removes what is old."""
        self._config = config
        self._leads = leads
        self._path = path
        self._clock = clock
        self._geoip: GeoIp | None = None
        self._is_ending = False
        self.fault = ""
        """Why usage is not written; empty while it is."""
        self.geoip_fault = ""
        """Why countries are told as before, or not at all; empty while all is well."""
        self._top = TopKeys(clock, _top(config()))
        self.writer = UsageWriter(
            store, recorders.usage, clock, name=secrets.token_hex(8), tell=self._top.count
        )
        self.kept = KeptUsage(store, lambda: retention(config()))
        recorders.metrics.watch("key_requests_total", self._top.reading)

    async def start(self, tasks: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
        """Begin the work that is done again and again; it ends with `stack`, in `tasks`. Raises `CannotStart`."""
        try:
            self._open(self._config())
        except GeoIpUnusable as error:
            if self._config().on_failure.geoip != "drop_and_count":
                raise CannotStart(str(error)) from error
            _log.error("no countries are told until it can be read: %s", error)
        for work in (
            Periodic("writing usage", lambda: _WRITE_SECONDS, self._write),
            Periodic("rolling up usage", lambda: _ROLL_SECONDS, self._roll),
            Periodic("removing old usage", lambda: _PRUNE_SECONDS, self._prune),
            Periodic("looking for another GeoIP database", lambda: _LOOK_SECONDS, self._look),
        ):
            tasks.create_task(work.run(), name=work.name)
            stack.callback(work.stop)
        stack.callback(self._end)

    def follow(self, config: model.Config) -> None:
        """Go by another configuration from now on. A database that cannot be opened leaves the former in use."""
        self._top.follow(_top(config))
        try:
            self._open(config)
        except GeoIpUnusable as error:
            _log.error("countries are told as before: %s", error)

    def _end(self) -> None:
        """Take note that what is written next is the last."""
        self._is_ending = True

    async def _write(self) -> None:
        try:
            await self.writer.write(is_last=self._is_ending)
        except StoreUnavailable as error:
            self.fault = str(error)
            raise
        self.fault = ""

    async def _roll(self) -> None:
        if self._leads():
            await self.writer.roll()

    async def _prune(self) -> None:
        if self._leads():
            await self.writer.prune(retention(self._config()))

    async def _look(self) -> None:
        before = self._geoip
        try:
            if before is None:
                self._open(self._config())
            elif before.refresh():
                _log.info("%s was replaced and is read anew", before.path)
            self.geoip_fault = ""
        except GeoIpUnusable as error:
            self.geoip_fault = str(error)
            raise

    def _open(self, config: model.Config) -> None:
        """Open the database that `config` names, unless it is open. Raises `GeoIpUnusable`."""
        try:
            self._take(config)
        except GeoIpUnusable as error:
            self.geoip_fault = str(error)
            raise
        self.geoip_fault = ""

    def _take(self, config: model.Config) -> None:
        name = config.usage.geoip_database
        path = anchored(self._path, name) if name else None
        before = self._geoip
        if before is not None and before.path == path:
            before.refresh()
            return
        self._geoip = GeoIp(path, self._clock) if path is not None else None
        self.writer.country = None if self._geoip is None else self._geoip.country
        if before is not None:
            before.close()

    def close(self) -> None:
        """Close the database; the last was written."""
        if self._geoip is not None:
            self._geoip.close()


def _top(config: model.Config) -> int:
    section = config.telemetry.per_key
    return 0 if section is None else section.top
