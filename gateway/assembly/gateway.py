"""Opens a gateway from its configuration, in order, and closes it in reverse.

Everything that runs is owned here: one `AsyncExitStack`, one `TaskGroup`. Opening either succeeds as a whole or leaves
nothing behind; the public listener is opened last and drained first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from aiohttp import web

from gateway.admin.app import create_admin_app
from gateway.assembly import generation as build
from gateway.assembly import policy
from gateway.assembly.binder import Binder
from gateway.assembly.keys import bootstrap, make_keyring
from gateway.assembly.reach import Upkeep
from gateway.assembly.recorders import Recorders
from gateway.assembly.room import connections_max
from gateway.assembly.sockets import bound, describe
from gateway.assembly.upstreams import Builder
from gateway.config import model
from gateway.config.load import anchored
from gateway.control.clock import SystemClock
from gateway.control.deadlines import DeadlineWheel
from gateway.control.follower import Follower
from gateway.control.periodic import Periodic
from gateway.domain.digest import Peppers
from gateway.domain.keys import KeyRecord
from gateway.domain.routes import RouteTable
from gateway.http1.request_head import HeadLimits
from gateway.keyring import Keyring
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.throttle import AddressThrottle
from gateway.listeners.exchange import Exchange
from gateway.listeners.metrics import create_metrics_app
from gateway.listeners.public import ListenerSettings, PublicListener
from gateway.listeners.streams import OpenStreams
from gateway.outbox import Outbox
from gateway.pipeline.authenticate import Authenticator
from gateway.pipeline.generation import Generation
from gateway.pipeline.handle import handle
from gateway.ports import Clock, KeyStore, StoreUnavailable
from gateway.stores import sqlite
from gateway.stores.cached import CachedKeys
from gateway.stores.observed import ObservedStore
from gateway.stores.rekeying import Rekeying
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.overview import overview
from gateway.upstreams.service import Service

_log = logging.getLogger(__name__)

_SAVE_SECONDS = 1.0
"""How often quota counters and last uses are written: what a `kill -9` can lose."""


class Gateway:
    """A running gateway: what the process and the tests hold."""

    def __init__(self, config: model.Config, config_path: Path) -> None:
        self.config = config
        self.config_path = config_path
        self.clock: Clock = SystemClock()
        self.loop = asyncio.get_running_loop()
        self.deadlines = DeadlineWheel(self.loop)
        self.outbox = Outbox(self.loop)
        self.peppers: Peppers = policy.peppers(config)
        self.limiter = MemoryLimiter(self.clock)
        self.streams = OpenStreams(self.clock)
        self._unsaved_counts: dict[str, tuple[int, int]] = {}
        self.is_draining = False
        self.public_address = ""
        self.metrics_address = ""
        self.admin_address = ""
        self.keyring: Keyring
        self.rekeying: Rekeying
        self.random = Random(SystemRandom().getrandbits(256))  # noqa: S311 - ids must differ, not be secret
        self.listener: PublicListener
        self.recorders: Recorders
        self.services: Mapping[str, Service] = {}

    # ---- keys

    def open_keys(self, store: ObservedStore) -> CachedKeys:
        """Return the keys that requests use, and set the keyring that changes them."""
        config = self.config
        plans = policy.plans(config)
        keys = CachedKeys(
            store,
            self.peppers,
            Binder(config, plans, policy.scopes(config)),
            self.clock,
            size_max=config.store.cache_keys_max,
            negative_ttl_seconds=config.store.negative_ttl,
            rekey=self._offer,
        )
        self.keyring = make_keyring(config, store, self.clock, keys.invalidate)
        self.rekeying = Rekeying(self.keyring.rekey)
        return keys

    def _offer(self, record: KeyRecord, digest: bytes) -> None:
        self.rekeying.offer(record, digest)  # which needs the keyring, which needs the keys

    # ---- requests

    def build_generation(self, keys: CachedKeys, dialer: Dialer) -> Generation:
        """Return everything that the configuration means for a request."""
        config = self.config
        throttle = config.authentication.throttle
        self.services = Builder(
            self.loop,
            self.deadlines,
            self.outbox,
            dialer,
            self.random.random,
            self.recorders.retried,
            self.config_path,
        ).services(config)
        self.recorders.watch_upstreams(lambda: [*self.services.values()])
        self.upkeep = [
            Upkeep(config, service, self.recorders.metrics, self.random.random)
            for service in self.services.values()
        ]
        address_throttle = AddressThrottle(
            self.clock, throttle.failures, max(1, round(throttle.per)), throttle.addresses_max
        )
        return Generation(
            number=1,
            table=RouteTable(policy.routes(config, policy.plans(config))),
            authenticator=Authenticator(
                formats=policy.key_formats(config),
                peppers=self.peppers,
                keys=keys,
                throttle=address_throttle,
                clock=self.clock,
            ),
            barred=policy.barred(config),
            limiter=self.limiter,
            throttle=address_throttle,
            border=build.border(config),
            upstreams=build.upstream_choice(config, self.services),
            voices=build.voices(config),
            problem=build.dialect(config, "problem") if config.dialect.problem_on_accept else None,
            introspect=build.introspection(config, self.clock),
            recorder=self.recorders.fanout,
            clock=self.clock,
        )

    def build_listener(self, generation: Generation) -> PublicListener:
        """Return the listener whose requests `generation` answers."""
        section = self.config.listeners.public

        def tell(exchange: Exchange) -> Any:
            return handle(exchange, generation)

        listener = PublicListener(
            ListenerSettings(
                proxy_protocol=section.proxy_protocol,
                connections_max=connections_max(self.config),
                connections_per_address_max=section.connections_per_address_max or 0,
                head_timeout_seconds=section.head_timeout,
                body_timeout_seconds=section.body_timeout,
                body_rate_min=section.body_rate_min or 0,
                idle_timeout_seconds=section.idle_timeout,
                write_timeout_seconds=section.write_timeout,
                write_rate_min=section.write_rate_min or 0,
                requests_per_connection_max=section.requests_per_connection_max,
                lifetime_seconds=section.connection_lifetime,
                head_limits=HeadLimits(
                    target_bytes_max=section.target_bytes_max,
                    head_bytes_max=section.head_bytes_max,
                    head_fields_max=section.head_fields_max,
                ),
            ),
            loop=self.loop,
            deadlines=self.deadlines,
            outbox=self.outbox,
            addresses=build.address_rules(self.config),
            tell=tell,
            random=self.random,
        )
        self.streams.watch(listener)
        self.recorders.watch_listener(listener)
        self.recorders.watch_limiter(self.limiter)
        self.recorders.watch_streams(self.streams)
        return listener

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
        return not reasons, {"reasons": reasons, "generation": 1}

    async def drain(self) -> None:
        """Stop taking requests: `/readyz` says so first, then requests in flight end within the deadline."""
        self.is_draining = True
        await self.listener.drain(self.config.listeners.public.drain_timeout)


@asynccontextmanager
async def opened(config: model.Config, config_path: Path) -> AsyncIterator[Gateway]:
    """Open a gateway; requests are served while the context lasts, and drained when it ends.

    Raises `StoreUnavailable`, `CannotStart` or `OSError` with a text for the operator; then nothing is left open.
    """
    gateway = Gateway(config, config_path)
    async with AsyncExitStack() as stack:
        await _open(gateway, stack)
        yield gateway


async def _open(gateway: Gateway, stack: AsyncExitStack) -> None:
    config, path = gateway.config, gateway.config_path
    # Sockets first: a port that is taken must not be noticed after the store was migrated.
    public = stack.enter_context(bound(config.listeners.public.bind, path, mode=0o666))
    admin = stack.enter_context(bound(config.listeners.admin.bind, path))
    metrics = stack.enter_context(bound(config.listeners.metrics.bind, path, mode=0o666))
    recorders = gateway.recorders = Recorders(config, path, gateway.clock)
    stack.push_async_callback(recorders.close)
    raw_store = await stack.enter_async_context(sqlite.opened(anchored(path, config.store.path)))
    store = ObservedStore(raw_store, gateway.clock, recorders.store_operation)
    recorders.watch_store(store)
    await recorders.count_keys(store)

    keys = gateway.open_keys(store)
    stack.push_async_callback(gateway.rekeying.close)
    stack.push_async_callback(keys.close)
    await bootstrap(config, gateway.keyring)
    gateway.limiter.import_counts(await store.load_counts(gateway.clock.now()))

    gateway.deadlines.start()
    stack.callback(gateway.deadlines.stop)
    dialer = Dialer()
    stack.push_async_callback(dialer.close)
    generation = gateway.build_generation(keys, dialer)
    for service in gateway.services.values():
        stack.callback(service.close)

    tasks = await stack.enter_async_context(_background())
    follower = Follower(store, keys.invalidate, keys.invalidate_all, await store.revision())
    for work in (
        Periodic("following the key store", config.store.poll, follower.follow),
        Periodic("saving counters", _SAVE_SECONDS, lambda: gateway.save(store)),
        Periodic("writing the access log", recorders.flush_seconds, recorders.flush),
        Periodic("counting keys", 15.0, lambda: recorders.count_keys(store)),
    ):
        tasks.create_task(work.run(), name=work.name)
        stack.callback(work.stop)
    _keep_up(gateway, tasks, stack)
    recorders.lag.start()
    stack.callback(recorders.lag.stop)

    gateway.metrics_address = await _serve(
        stack, create_metrics_app(recorders.metrics.render, gateway.readiness), metrics
    )
    token = config.listeners.admin.token.get_secret_value() or None
    gateway.admin_address = await _serve(
        stack,
        create_admin_app(
            gateway.keyring,
            token=token,
            upstreams=lambda: overview(gateway.services.values(), gateway.loop.time()),
            streams=gateway.streams,
        ),
        admin,
    )
    gateway.listener = gateway.build_listener(generation)
    await gateway.listener.serve(public, config.listeners.public.backlog)
    gateway.public_address = describe(public)
    stack.push_async_callback(gateway.drain)


def _keep_up(gateway: Gateway, tasks: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
    """Watch the upstreams until the stack closes, which it does after the last request has ended."""
    for upkeep in gateway.upkeep:
        if upkeep.is_needed:
            stack.callback(tasks.create_task(upkeep.run(), name=upkeep.name).cancel)


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


async def _serve(stack: AsyncExitStack, app: web.Application, sock: socket.socket) -> str:
    """Serve an aiohttp application until the stack closes; return its address."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, sock).start()
    return describe(sock)
