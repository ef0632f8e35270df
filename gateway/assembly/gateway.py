"""The control plane of a gateway, and the opening of the whole: in order, and closed in reverse.

Knows the one store that is written to, who may ask for what, and that somebody serves: a data plane in this process, or
workers. Everything that runs is owned here: one `AsyncExitStack`, one `TaskGroup`. Opening either succeeds as a whole
or leaves nothing behind. Clients are served when all is there that they need, operators right after; when it closes,
clients are drained first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.assembly import membership, upkeep
from gateway.assembly.access_logs import without_logs
from gateway.assembly.alerting import Alerting
from gateway.assembly.background import background
from gateway.assembly.certificates import Certificates
from gateway.assembly.data_plane import DataPlane
from gateway.assembly.degradation import Degradation
from gateway.assembly.elsewhere import LateCuts
from gateway.assembly.explaining import Explainer
from gateway.assembly.keys import bootstrap, make_keyring
from gateway.assembly.late_store import LateStore
from gateway.assembly.listening import Sockets, address_of, listening
from gateway.assembly.recorders import Recorders
from gateway.assembly.records import Records
from gateway.assembly.reloads import Reloads
from gateway.assembly.reserve import Reserve
from gateway.assembly.returning import Returning, opened_or_reserved
from gateway.assembly.usage import Usage
from gateway.config import model
from gateway.config.history import Texts
from gateway.config.sources import Sources
from gateway.control.beside import beside
from gateway.control.clock import SystemClock
from gateway.control.cluster import Cluster, Reach
from gateway.control.cores import worker_count
from gateway.control.crew import Acknowledged, Crew
from gateway.control.garbage import not_looking
from gateway.domain.enforcement import Enforced
from gateway.domain.keys import KeyRecord
from gateway.domain.nodes import Lease
from gateway.domain.streams import Condemn
from gateway.keyring.door import Keyring
from gateway.ports import AuditTrail, Clock, KeptAlerts, KeyStore, StoreUnavailable, UsageStore
from gateway.stores.noted import NotedStore
from gateway.stores.observed import ObservedStore
from gateway.stores.rekeying import Rekeying

if TYPE_CHECKING:
    from gateway.assembly.operators import Operators

_NOTHING: Final[Mapping[str, str]] = {}

_NO_SOCKETS: Final[Sockets] = {}


class Gateway:
    """A running gateway: what the process and the tests hold.

    `config` is the configuration in force, `number` counts its generations; `on_follow` is told of each further one.
    `crew` is who serves; `look` asks them for what metrics read; `plane` is the data plane of this process, None where
    workers serve. `reserve` is what is served by while the store does not answer, `lease` for how long memory may be
    believed (None: nobody else writes to the store); what ends with our place among others is in `membership`.
    """

    crew: Crew
    reloads: Reloads
    operators: Operators

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        clock: Clock,
        store: ObservedStore,
        recorders: Recorders,
        certificates: Certificates,
        workers: int = 1,
        *,
        trail: AuditTrail,
        usage: UsageStore,
        alerts: KeptAlerts,
        reserve: Reserve,
    ) -> None:
        self.config = config
        self.number = 1
        self.config_path = config_path
        self.clock = clock
        self.store = store
        self.reserve = reserve
        self.recorders = recorders
        self.certificates = certificates
        self.cluster: Cluster | None = None
        self.lease = Lease() if config.store.url.get_secret_value() else None
        self.membership = AsyncExitStack()
        self.records = Records(
            *(lambda: self.config, config_path, trail, clock, recorders.metrics),
            leads=lambda: self.leads,
            joining=lambda: self.cluster is not None and self.cluster.has_company,
        )
        self.audit = self.records.audit
        self.request_log = self.records.requests
        self.usage = Usage(
            *(lambda: self.config, config_path, usage, clock, recorders), leads=lambda: self.leads
        )
        self.own = membership.introduce(self)
        self.keyring = self._keyring(config)
        self.alerting = Alerting(self, usage, alerts)
        # A key is judged by the rules that hold when its turn has come, not when it was offered.
        self.rekeying = Rekeying(self._rekey)
        self.plane: DataPlane | None = None
        self.explainer = Explainer(self)
        self.degradation = Degradation(self)
        self.workers = workers
        self.export_counts: Callable[[], Mapping[str, tuple[int, int]]] = dict
        self.import_counts: Callable[[Mapping[str, tuple[int, int]]], object] = dict
        self.look: Callable[[], Awaitable[None]] = _nothing_to_do
        self.on_follow: list[Callable[[model.Config], None]] = []
        self.is_draining = False
        self.public_address = ""
        self.metrics_address = ""
        self.admin_address = ""
        self.dashboard_address = ""
        self.delivery_address = ""
        self.forward_auth_address = ""
        self._unsaved_counts: dict[str, tuple[int, int]] = {}
        self.late_cuts = LateCuts(self.clock.monotonic)
        self._hurry = asyncio.Event()

    @property
    def leads(self) -> bool:
        """Tell whether what only one gateway may do is for this one."""
        return self.cluster is None or self.cluster.is_leader

    @property
    def here(self) -> DataPlane:
        """The data plane of this process. Raises `RuntimeError` where workers serve."""
        if self.plane is None:
            raise RuntimeError("workers serve here")
        return self.plane

    # ---- the configuration

    def follow(self, number: int, config: model.Config) -> None:
        """Go by `config` from now on, as generation `number`."""
        self.number, self.config = number, config
        self.keyring = self._keyring(config)
        self.reserve.follow(config)
        if self.plane is None:
            self.recorders.follow(without_logs(config), None)
        self.usage.follow(config)
        for tell in self.on_follow:
            tell(config)

    def _keyring(self, config: model.Config) -> Keyring:
        return make_keyring(config, self.store, self.clock, self._enforce)

    async def _enforce(self, ids: Collection[str], condemn: Condemn | None) -> Enforced:
        """Let everybody go by what the store holds now, and end what `condemn` does."""
        started = self.clock.monotonic()
        (done, closed), elsewhere = await asyncio.gather(
            self._enforce_here(ids, condemn), self._reach(ids)
        )
        effective_at, seconds = self.clock.now(), self.clock.monotonic() - started
        self.recorders.metrics.observe("revocation_propagation_seconds", seconds)
        stale = self.reserve.silent
        silent = tuple(dict.fromkeys((*done.silent, *self.crew.silent, *elsewhere.silent, *stale)))
        of = done.of + elsewhere.of + len(stale)
        return Enforced(
            effective_at=effective_at,
            acknowledged=max(0, of - len(silent)),
            of=of,
            seconds=seconds,
            silent=silent,
            streams_closed=closed + elsewhere.cut,
        )

    async def _enforce_here(
        self, ids: Collection[str], condemn: Condemn | None
    ) -> tuple[Acknowledged, int]:
        done = await self.crew.forget(ids)
        closed = 0 if condemn is None else await self.crew.streams.cut(condemn)
        return done, closed + self.late_cuts.take(ids)

    async def _reach(self, ids: Collection[str]) -> Reach:
        """Wait for the other gateways to go by it, too."""
        if self.cluster is None or not ids:
            return Reach()
        return await self.cluster.reach(ids)

    def pending(self) -> int:
        """Return how many workers and gateways may still serve by what was before a change, a snapshot among them."""
        others = 0 if self.cluster is None else len(self.cluster.silent)
        return len(self.crew.silent) + others + len(self.reserve.silent)

    async def _rekey(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        await self.keyring.rekey(record, digest, pepper_id)

    # ---- upkeep

    async def save(self, store: KeyStore) -> None:
        """Write what is counted in memory: quota counters and last uses. Nothing is dropped when the store fails."""
        changed = self.export_counts()
        self.reserve.count(changed)
        counts = self._unsaved_counts | {**changed}
        self._unsaved_counts = counts
        if counts:
            await store.save_counts(counts)
            self._unsaved_counts = {}
        last_used = self.recorders.last_used.drain()
        if last_used:
            try:
                await store.touch(last_used)
            except StoreUnavailable:
                self.recorders.last_used.restore(last_used)
                raise

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        """Tell whether requests should be sent here: what is missing elsewhere, a store among it, is no reason not to,
        because whoever is asked instead misses it as well.
        """
        reasons = ["draining"] if self.is_draining else [*self.crew.obstacles]
        degraded = self.degradation.present()
        return not reasons, {"reasons": reasons, "generation": self.number, "degraded": degraded}

    def reopen_logs(self) -> None:
        """Go on in new log files after log rotation."""
        self.crew.reopen_logs()

    # ---- the end

    async def close_reserve(self) -> None:
        """Leave the snapshot for the next start; where others wait for us, only if they cannot be told that we go."""
        leaves = self.cluster is not None and not self.cluster.is_cut_off
        await self.reserve.close(leaves=leaves)
        if self.cluster is not None:
            self.cluster.stays = bool(self.reserve.silent)

    async def drain(self) -> None:
        """Stop taking requests: `/readyz` says so first, then requests in flight end within the deadline."""
        self.is_draining = True
        self.reloads.stop()
        section = self.config.listeners.public
        if section.drain_delay:
            await self._hurried_within(section.drain_delay)
        await self.crew.drain(section.drain_timeout)

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        self._hurry.set()
        self.crew.hurry()

    async def _hurried_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._hurry.wait()
        except TimeoutError:
            return False


async def _nothing_to_do() -> None:
    """What is to be read lies in this process."""


@asynccontextmanager
async def opened(
    config: model.Config,
    config_path: Path,
    *,
    environ: Mapping[str, str] = _NOTHING,
    sources: Sources | None = None,
    texts: Texts | None = None,
    sockets: Sockets = _NO_SOCKETS,
    on_serving: Callable[[Gateway], None] | None = None,
) -> AsyncIterator[Gateway]:
    """Open a gateway; requests are served while the context lasts, and drained when it ends.

    `environ` is what `${VAR}` reads in a reload; with `sources`, from which `config` was read, changed files are
    noticed; its `texts` are kept, so that a rollback finds them after a restart. `sockets` are those that a service
    manager listens on for us, by the name of the listener. `on_serving` is told as soon as clients are served:
    operators are not yet. Raises `StoreUnavailable`, `CannotStart` or `OSError` with a text for the operator; then
    nothing is left open.
    """
    async with AsyncExitStack() as stack:
        gateway = await _open(config, config_path, environ, sockets, stack, on_serving)
        if sources is not None:
            gateway.reloads.watch(sources)
        if texts is not None:
            await gateway.reloads.began_with(texts)
        yield gateway


async def _open(
    config: model.Config,
    path: Path,
    environ: Mapping[str, str],
    given: Sockets,
    stack: AsyncExitStack,
    on_serving: Callable[[Gateway], None] | None,
) -> Gateway:
    workers = worker_count(config.workers)
    sockets = stack.enter_context(listening(config, path, workers, given))
    gateway, returning = await _control_plane(config, path, stack, workers)
    tasks = await stack.enter_async_context(background())
    await gateway.records.start(tasks, stack, is_late=returning is not None)
    await gateway.usage.start(tasks, stack)
    began = gateway.clock.now()
    counts = await (gateway.reserve.counts() if returning else gateway.store.load_counts(began))
    gateway.reserve.count(counts)
    if workers > 1:
        from gateway.assembly.workforce import join
    else:
        from gateway.assembly.alone import join
    serve = await join(gateway, sockets.public, sockets.questions, counts, tasks, stack)
    gateway.recorders.metrics.watch("revocations_pending", gateway.pending)
    gateway.reloads = Reloads(gateway, environ, tasks)
    stack.callback(gateway.reloads.close)
    await upkeep.begin(gateway, returning, tasks, stack)
    if returning is None:
        await bootstrap(config.bootstrap, gateway.keyring)
    await gateway.alerting.start(tasks, stack)
    gateway.public_address = address_of(sockets.public)
    gateway.admin_address = address_of(sockets.admin)
    gateway.dashboard_address = address_of(sockets.pages)
    gateway.metrics_address = address_of(sockets.metrics)
    gateway.delivery_address = address_of(sockets.links)
    gateway.forward_auth_address = address_of(sockets.questions)
    if gateway.cluster is not None:
        gateway.cluster.serve_at(gateway.public_address)
    longest = await stack.enter_async_context(AsyncExitStack())  # `/readyz` tells of the drain
    await serve()
    stack.push_async_callback(gateway.drain)
    if on_serving is not None:
        on_serving(gateway)
    make = await beside(_operators)
    gateway.operators = make(gateway)
    await gateway.operators.serve(sockets, longest)
    return gateway


def _operators() -> type[Operators]:
    """Return what serves operators and probes: aiohttp and the admin API are a third of the whole start, for which no
    client has to wait. Who connects there before is answered then.
    """
    with not_looking():
        from gateway.assembly.operators import Operators
    return Operators


async def _control_plane(
    config: model.Config, path: Path, stack: AsyncExitStack, workers: int
) -> tuple[Gateway, Returning | None]:
    """Return the gateway without anybody who serves; and what takes it to its store, if that does not answer."""
    clock = SystemClock()
    recorders = Recorders(without_logs(config) if workers > 1 else config, path, clock)
    stack.push_async_callback(recorders.close)
    certificates = Certificates(config, path, clock, recorders.metrics)
    late = LateStore(config, path)
    stack.push_async_callback(late.close)
    reserve = Reserve(config, path, clock, late.parts.rows)
    opened = await opened_or_reserved(late, reserve, config, path)
    store = NotedStore(
        *(late.parts.store, clock, recorders.store_operation, reserve),
        may_have_happened=lambda: late.is_open,
    )
    recorders.watch_store(store)
    recorders.metrics.watch("key_snapshot_age_seconds", reserve.age)
    gateway = Gateway(
        *(config, path, clock, store, recorders, certificates, workers),
        trail=late.parts.audit,
        usage=late.parts.usage,
        alerts=late.parts.alerts,
        reserve=reserve,
    )
    gateway.membership = await stack.enter_async_context(AsyncExitStack())
    returning = None if opened else Returning(gateway, late)
    if returning is not None and gateway.lease is not None:
        gateway.lease.until = reserve.inherited_until
    if opened is not None:
        late.fill(opened)
        await recorders.count_keys(store)
        await membership.enter(gateway, opened)
        await reserve.begin(store)
    stack.push_async_callback(gateway.close_reserve)
    stack.push_async_callback(gateway.rekeying.close)
    stack.callback(gateway.usage.close)
    return gateway, returning
