"""Opens a gateway from its configuration, in order, and closes it in reverse.

Everything that runs is owned here: one `AsyncExitStack`, one `TaskGroup`. Opening either succeeds as a whole or leaves
nothing behind; the public listener is opened last and drained first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.assembly.certificates import Certificates
from gateway.assembly.draft import draft
from gateway.assembly.edition import Edition, make_edition
from gateway.assembly.keys import bootstrap
from gateway.assembly.recorders import Recorders
from gateway.assembly.reloads import Reloads
from gateway.assembly.runtime import Runtime
from gateway.assembly.sockets import bound, describe
from gateway.assembly.upstream_care import UpstreamCare
from gateway.config import model
from gateway.config.load import anchored
from gateway.config.sources import Sources
from gateway.control.clock import SystemClock
from gateway.control.follower import Follower
from gateway.control.periodic import Periodic
from gateway.keyring import Keyring
from gateway.limiters.memory import MemoryLimiter
from gateway.listeners.exchange import Exchange
from gateway.listeners.metrics import create_metrics_app
from gateway.listeners.public import PublicListener
from gateway.listeners.streams import OpenStreams
from gateway.pipeline.handle import handle
from gateway.ports import Clock, KeyStore, StoreUnavailable
from gateway.stores import sqlite
from gateway.stores.observed import ObservedStore
from gateway.stores.rekeying import Rekeying
from gateway.upstreams.overview import overview
from gateway.upstreams.service import Service

_SAVE_SECONDS: Final = 1.0
"""How often quota counters and last uses are written: what a `kill -9` can lose."""

_COUNT_SECONDS: Final = 15.0
"""How often keys are counted for the metrics: nobody needs that number to the second."""

_NOTHING: Final[Mapping[str, str]] = {}


class Gateway:
    """A running gateway: what the process and the tests hold.

    `edition` is the configuration in force and all that it means. `on_install` is told of each further one.
    """

    def __init__(
        self,
        config: model.Config,
        config_path: Path,
        clock: Clock,
        store: KeyStore,
        recorders: Recorders,
        certificates: Certificates,
    ) -> None:
        self.config_path = config_path
        self.clock = clock
        self.recorders = recorders
        self.runtime = Runtime(
            config,
            config_path,
            clock=clock,
            store=store,
            recorders=recorders,
            certificates=certificates,
            keyring=lambda: self.keyring,
        )
        self.edition = make_edition(draft(config, config_path), 1, self.runtime, None)
        self.generation = self.edition.generation  # what the next request is told under
        self.streams = OpenStreams(clock)
        self.listener = self._make_listener()
        self.on_install: list[Callable[[Edition], None]] = []
        self.is_draining = False
        self.public_address = ""
        self.metrics_address = ""
        self.admin_address = ""
        self.reloads: Reloads
        self._unsaved_counts: dict[str, tuple[int, int]] = {}
        self._hurry = asyncio.Event()

    @property
    def config(self) -> model.Config:
        """The configuration in force."""
        return self.edition.config

    @property
    def keyring(self) -> Keyring:
        """The door through which keys change, under the rules in force."""
        return self.edition.keyring

    @property
    def rekeying(self) -> Rekeying:
        """What moves keys to the current pepper."""
        return self.runtime.rekeying

    @property
    def services(self) -> Mapping[str, Service]:
        """The upstreams of the configuration in force, by name."""
        return self.edition.services

    @property
    def limiter(self) -> MemoryLimiter:
        """The buckets."""
        return self.runtime.limiter

    # ---- requests

    def _make_listener(self) -> PublicListener:
        """Return the listener; a request keeps the generation that is in force when it begins."""

        def tell(exchange: Exchange) -> Any:
            return handle(exchange, self.generation)

        listener = PublicListener(
            self.edition.draft.settings,
            loop=self.runtime.loop,
            deadlines=self.runtime.deadlines,
            outbox=self.runtime.outbox,
            addresses=self.edition.draft.addresses,
            tell=tell,
            random=self.runtime.random,
            tls=self.runtime.certificates.port(
                loop=self.runtime.loop, deadlines=self.runtime.deadlines
            ),
        )
        self.streams.watch(listener)
        self.recorders.watch_listener(listener)
        self.recorders.watch_limiter(self.limiter)
        self.recorders.watch_streams(self.streams)
        return listener

    def install(self, edition: Edition) -> None:
        """Put `edition` into force: the next request is told under it."""
        self.edition = edition
        self.generation = edition.generation
        edition.keys.take_over()
        self.listener.follow(edition.draft.settings, edition.draft.addresses)
        for tell in self.on_install:
            tell(edition)

    def admin_app(self) -> web.Application:
        """Return the admin API."""
        return create_admin_app(
            lambda: self.keyring,
            token=self.admin_token,
            config=self.reloads.routes(),
            upstreams=lambda: overview(self.services.values(), self.runtime.loop.time()),
            streams=self.streams,
        )

    # ---- upkeep

    async def save(self, store: KeyStore) -> None:
        """Write what is counted in memory: quota counters and last uses. Nothing is dropped when the store fails."""
        counts = self._unsaved_counts | self.limiter.export_counts()
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
        """Tell whether requests should be sent here; a store that is down alone is no reason: known keys work."""
        reasons = ["draining"] if self.is_draining else []
        return not reasons, {"reasons": reasons, "generation": self.generation.number}

    def admin_token(self) -> str | None:
        """Return the token that the admin API asks for now, None for none."""
        return self.config.listeners.admin.token.get_secret_value() or None

    # ---- the end

    def close_upstreams(self) -> None:
        """Close the connections to the upstreams of the edition in force."""
        for service in self.services.values():
            service.close()

    async def drain(self) -> None:
        """Stop taking requests: `/readyz` says so first, then requests in flight end within the deadline."""
        self.is_draining = True
        self.reloads.stop()
        section = self.config.listeners.public
        if section.drain_delay:
            await self._hurried_within(section.drain_delay)
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(self.listener.drain(section.drain_timeout))
            hurry = tasks.create_task(self._hurry.wait())
            await asyncio.wait((ending, hurry), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                await self.listener.drain(0)
            hurry.cancel()

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        self._hurry.set()

    async def _hurried_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._hurry.wait()
        except TimeoutError:
            return False


@asynccontextmanager
async def opened(
    config: model.Config,
    config_path: Path,
    *,
    environ: Mapping[str, str] = _NOTHING,
    sources: Sources | None = None,
) -> AsyncIterator[Gateway]:
    """Open a gateway; requests are served while the context lasts, and drained when it ends.

    `environ` is what `${VAR}` reads in a reload; with `sources`, from which `config` was read, changed files are
    noticed. Raises `StoreUnavailable`, `CannotStart` or `OSError` with a text for the operator; then nothing is left
    open.
    """
    async with AsyncExitStack() as stack:
        gateway = await _open(config, config_path, environ, stack)
        if sources is not None:
            gateway.reloads.watch(sources)
        yield gateway


async def _open(
    config: model.Config, path: Path, environ: Mapping[str, str], stack: AsyncExitStack
) -> Gateway:
    # Sockets first: a port that is taken must not be noticed after the store was migrated.
    public = stack.enter_context(bound(config.listeners.public.bind, path, mode=0o666))
    admin = stack.enter_context(bound(config.listeners.admin.bind, path))
    metrics = stack.enter_context(bound(config.listeners.metrics.bind, path, mode=0o666))
    clock = SystemClock()
    recorders = Recorders(config, path, clock)
    stack.push_async_callback(recorders.close)
    certificates = Certificates(config, path, clock, recorders.metrics)
    raw_store = await stack.enter_async_context(sqlite.opened(anchored(path, config.store.path)))
    store = ObservedStore(raw_store, clock, recorders.store_operation)
    recorders.watch_store(store)
    await recorders.count_keys(store)

    gateway = Gateway(config, path, clock, store, recorders, certificates)
    await _begin(gateway, store, stack)
    tasks = await stack.enter_async_context(_background())
    gateway.reloads = Reloads(gateway, environ, tasks)
    stack.callback(gateway.reloads.close)
    await _upkeep(gateway, store, tasks, stack)

    gateway.metrics_address = await _serve(
        stack,
        gateway,
        "metrics",
        create_metrics_app(recorders.metrics.render, gateway.readiness),
        metrics,
    )
    gateway.admin_address = await _serve(stack, gateway, "admin", gateway.admin_app(), admin)
    recorders.watch_upstreams(lambda: [*gateway.services.values()])
    await gateway.listener.serve(public, config.listeners.public.backlog)
    gateway.public_address = describe(public)
    stack.push_async_callback(gateway.drain)
    return gateway


async def _begin(gateway: Gateway, store: KeyStore, stack: AsyncExitStack) -> None:
    """Bring the store up to the configuration, and the buckets to the store."""
    runtime = gateway.runtime
    stack.push_async_callback(runtime.rekeying.close)
    stack.push_async_callback(gateway.edition.keys.close)
    await bootstrap(gateway.config.bootstrap, gateway.keyring)
    runtime.limiter.import_counts(await store.load_counts(gateway.clock.now()))
    runtime.deadlines.start()
    stack.callback(runtime.deadlines.stop)
    stack.push_async_callback(runtime.dialer.close)
    stack.callback(gateway.close_upstreams)


async def _upkeep(
    gateway: Gateway, store: KeyStore, tasks: asyncio.TaskGroup, stack: AsyncExitStack
) -> None:
    """Start the work that is done again and again."""
    keys, recorders = gateway.edition.keys, gateway.recorders
    follower = Follower(store, keys.invalidate, keys.invalidate_all, await store.revision())

    async def follow() -> None:
        async with gateway.reloads.settling:
            await follower.follow()

    for work in (
        Periodic("following the key store", lambda: gateway.config.store.poll, follow),
        Periodic("saving counters", lambda: _SAVE_SECONDS, lambda: gateway.save(store)),
        Periodic(
            "writing the access log",
            lambda: gateway.config.telemetry.access_log.flush,
            recorders.flush,
        ),
        Periodic("counting keys", lambda: _COUNT_SECONDS, lambda: recorders.count_keys(store)),
    ):
        tasks.create_task(work.run(), name=work.name)
        stack.callback(work.stop)
    care = UpstreamCare(tasks, gateway.runtime)
    stack.callback(care.stop)
    care.follow(gateway.edition)
    gateway.on_install.append(care.follow)
    recorders.lag.start()
    stack.callback(recorders.lag.stop)


@asynccontextmanager
async def _background() -> AsyncIterator[asyncio.TaskGroup]:
    """Own the work that goes on beside requests. What fails elsewhere passes as it is: a group would wrap it."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below, when the work has ended
            failure = error
    if failure is not None:
        raise failure


async def _serve(
    stack: AsyncExitStack, gateway: Gateway, name: str, app: web.Application, sock: socket.socket
) -> str:
    """Serve an aiohttp application as the listener `name` until the stack closes; return its address."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, sock, ssl_context=gateway.runtime.certificates.context(name)).start()
    return describe(sock)
