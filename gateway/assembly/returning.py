"""A gateway whose store does not answer at the start: whether it may begin, and how it goes back to its store.

Knows what was left out at the start, and in which order it is done when the store is there: among several gateways the
others are told of us before anything that we read is believed. It must not know how a snapshot is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.assembly import membership
from gateway.assembly.errors import CannotStart
from gateway.assembly.keys import bootstrap
from gateway.assembly.late_store import LateStore
from gateway.assembly.reserve import Reserve
from gateway.assembly.snapshots import age_max
from gateway.assembly.stores import Opened
from gateway.config import model
from gateway.config.places import anchored
from gateway.control.periodic import Periodic
from gateway.domain.key_snapshots import doubt
from gateway.ports import StoreUnavailable
from gateway.stores.snapshots.sealing import Unusable

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

AGAIN_SECONDS: Final = 1.0
"""How often the store is tried again."""

_COUNTS_AT_ONCE: Final = 5_000

_log = logging.getLogger(__name__)


async def opened_or_reserved(
    late: LateStore, reserve: Reserve, config: model.Config, path: Path
) -> Opened | None:
    """Open the store; None when that does not answer and there is a snapshot to serve by.

    A file that is missing beside its snapshot has vanished: no empty store is made in its place. Raises
    `StoreUnavailable` when there is neither, and `CannotStart`.
    """
    left = reserve.path is not None and await asyncio.to_thread(reserve.path.exists)
    try:
        return await late.open(must_exist=left)
    except StoreUnavailable as error:
        failure = _told(error, config, path, reserve) if left else error
    if not left:
        raise failure
    late.why = str(failure)
    try:
        snapshot, stamp = await asyncio.to_thread(reserve.found)
    except Unusable as error:
        raise StoreUnavailable(f"{failure}; and its snapshot is not gone by: {error}") from error
    why = doubt(stamp, reserve.moment(), age_max(config))
    if why:
        await asyncio.to_thread(snapshot.close)
        raise StoreUnavailable(f"{failure}; and its snapshot is not gone by: {why}") from failure
    await reserve.begin_without(snapshot, stamp)
    _log.error(
        "%s. %d keys are known by the snapshot %s and work for %.0f s; every other one gets 503, and nothing can be"
        " changed, until the store answers: it is tried again every second",
        *(failure, snapshot.pages.keys, reserve.path),
        reserve.seconds_left(),
    )
    reserve.fault = str(failure)
    await asyncio.to_thread(snapshot.close)
    return None


def _told(
    error: StoreUnavailable, config: model.Config, path: Path, reserve: Reserve
) -> StoreUnavailable:
    """Return what is said of a store that does not open although it was there."""
    file = anchored(path, config.store.path)
    if config.store.url.get_secret_value() or (file.exists() and file.stat().st_size > 0):
        return error
    return StoreUnavailable(
        f"the store {file} is gone, though the snapshot {reserve.path} was written beside it: put a backup in its place"
        f" (`tollhouse db restore FILE --reason TEXT`), or remove the snapshot as well to begin with an empty store"
    )


class Returning:
    """Tries the store of `gateway` again until it is there."""

    def __init__(self, gateway: Gateway, late: LateStore) -> None:
        self._gateway = gateway
        self._late = late
        self._opened: Opened | None = None
        self._steps = [self._enter, self._fill, self._learn, self._count, self._bring_up]
        self._work = Periodic("returning to the store", lambda: AGAIN_SECONDS, self.try_again)

    def begin(
        self,
        learner: membership.Following,
        running: MutableMapping[Periodic, asyncio.Task[None]],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Try it from now on, in `tasks`; what begins then is `running` like everything else."""
        self._learner = learner

        def run(work: Periodic) -> None:
            running[work] = tasks.create_task(work.run(), name=work.name)

        self._run = run
        run(self._work)

    async def try_again(self) -> None:
        """Open the store, and go back to it; what did not succeed is tried again the next time.

        Raises `CannotStart` when it is not one to go back to, `StoreUnavailable`.
        """
        if self._gateway.is_draining:
            return
        if self._opened is None:
            try:
                self._opened = await self._late.open(must_exist=True)
            except StoreUnavailable as error:
                self._gateway.reserve.fault = str(error)
                return
        while self._steps:
            await self._steps[0](self._opened)
            self._steps.pop(0)
            if not self._steps:
                _log.warning("the store is there: this gateway goes by it again")

    async def _enter(self, opened: Opened) -> None:
        gateway = self._gateway
        # What is in memory is from under the lease of the process before, whom others may soon count as gone.
        self._distrust()
        try:
            await membership.enter(gateway, opened, is_late=True)
            if gateway.cluster is not None:
                gateway.cluster.serve_at(gateway.public_address)
        except BaseException:
            self._distrust()
            await gateway.membership.aclose()
            raise

    def _distrust(self) -> None:
        gateway = self._gateway
        if gateway.lease is not None:
            gateway.lease.until = 0.0
            gateway.crew.prolong(0.0)

    async def _fill(self, opened: Opened) -> None:
        self._late.fill(opened)

    async def _learn(self, _: Opened) -> None:
        # The store may be another one than the snapshot is of: a backup knows fewer keys.
        await self._gateway.crew.forget_all()
        await self._learner.follow()
        for work in membership.upkeep(self._gateway, self._learner):
            self._run(work)

    async def _count(self, _: Opened) -> None:
        gateway = self._gateway
        counted = iter(gateway.reserve.counted.items())
        while some := dict(islice(counted, _COUNTS_AT_ONCE)):
            await gateway.store.save_counts(some)  # which lowers none
        gateway.import_counts(await gateway.store.load_counts(gateway.clock.now()))
        await gateway.recorders.count_keys(gateway.store)

    async def _bring_up(self, _: Opened) -> None:
        gateway = self._gateway
        try:
            await bootstrap(gateway.config.bootstrap, gateway.keyring)
        except CannotStart as error:
            _log.error("what the configuration declares is not in the store: %s", error)
