"""What serves requests: the listener, the editions, the connections to upstreams, and what records.

Knows nothing of other processes: a gateway with one process holds one of these beside its control plane, one with
workers has one in each. It must not write to the key store, nor read the configuration's file.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from gateway.assembly.draft import draft
from gateway.assembly.edition import Edition, make_edition
from gateway.assembly.forward_auth import ForwardAuth
from gateway.assembly.heir import Heir
from gateway.assembly.recording import LOOK_SECONDS, Door
from gateway.assembly.runtime import Runtime
from gateway.assembly.upstream_care import UpstreamCare
from gateway.config import model
from gateway.control.crew import Load
from gateway.control.periodic import Periodic
from gateway.control.retirement import Retirement
from gateway.listeners.exchange import Exchange
from gateway.listeners.public import PublicListener
from gateway.listeners.streams import OpenStreams
from gateway.pipeline.handle import handle
from gateway.upstreams.overview import ServiceOverview, overview
from gateway.upstreams.service import Service


class DataPlane:
    """A running data plane. `edition` is the configuration in force and all that it means.

    `on_install` is told of each further edition; `forward_auth` is None where no proxy may ask. Made by `opened`.
    """

    def __init__(
        self, config: model.Config, number: int, runtime: Runtime, retirement: Retirement
    ) -> None:
        self.runtime = runtime
        self.retirement = retirement
        drafted = draft(config, runtime.config_path, share=runtime.share)
        self.edition = make_edition(drafted, number, runtime, None)
        self.door = Door(runtime.recorders.can_record)
        self.generation = self.edition.generation  # what the next request is told under
        self.streams = OpenStreams(runtime.clock)
        self.listener = self._make_listener()
        is_asked = config.listeners.forward_auth.bind is not None
        self.forward_auth = ForwardAuth(self) if is_asked else None
        self._watch_listeners()
        self.heir = Heir(self)
        self.on_install: list[Callable[[Edition], None]] = []
        self._hurry = asyncio.Event()

    @property
    def config(self) -> model.Config:
        """The configuration in force."""
        return self.edition.config

    @property
    def services(self) -> Mapping[str, Service]:
        """The upstreams of the configuration in force, by name."""
        return self.edition.services

    def _make_listener(self) -> PublicListener:
        """Return the listener; a request keeps the generation that is in force when it begins."""
        runtime = self.runtime

        def tell(exchange: Exchange) -> Any:
            return handle(exchange, self.generation)

        return PublicListener(
            self.edition.draft.settings,
            loop=runtime.loop,
            deadlines=runtime.deadlines,
            outbox=runtime.outbox,
            addresses=self.edition.draft.addresses,
            tell=tell,
            random=runtime.random,
            tls=runtime.certificates.port("public", loop=runtime.loop, deadlines=runtime.deadlines),
            headcount=runtime.headcount,
        )

    def _watch_listeners(self) -> None:
        for listener in self._listeners:
            self.streams.watch(listener)
        self.runtime.recorders.watch_listeners(self._listeners)
        self.runtime.recorders.watch_streams(self.streams)

    @property
    def _listeners(self) -> list[PublicListener]:
        asked = [] if self.forward_auth is None else [self.forward_auth.listener]
        return [self.listener, *asked]

    async def accept(self, sock: socket.socket) -> None:
        """Accept connections on `sock`, which is closed when they are no longer wanted."""
        await self.listener.serve(sock, self.config.listeners.public.backlog)

    async def be_asked(self, sock: socket.socket) -> None:
        """Answer proxies that ask on `sock`, which is closed when they are no longer wanted."""
        if self.forward_auth is None:
            raise RuntimeError("no proxy may ask here")
        await self.forward_auth.accept(sock)

    def install(self, edition: Edition) -> None:
        """Put `edition` into force: the next request is told under it."""
        self.edition = edition
        self.generation = self.door.leads_to(edition.generation)
        edition.keys.take_over()
        edition.acting.take_over(edition.config.store.negative_ttl)
        self.listener.follow(edition.draft.settings, edition.draft.addresses)
        if self.forward_auth is not None:
            self.forward_auth.follow(edition.draft)
        for tell in self.on_install:
            tell(edition)

    async def look_at_door(self) -> None:
        """Let nobody in while requests cannot be recorded, where the configuration says so."""
        if self.door.look(self.config):
            self.generation = self.door.leads_to(self.edition.generation)

    # ---- what is known here

    def overview(self) -> list[ServiceOverview]:
        """Return the state of the upstreams."""
        return overview(self.services.values(), self.runtime.loop.time())

    def load(self) -> Load:
        """Return how much goes on."""
        return Load(
            sum(listener.connections for listener in self._listeners),
            sum(listener.in_flight for listener in self._listeners),
        )

    def forget(self, ids: Iterable[str]) -> None:
        """Forget the keys, and the keys of the tenants, with these ids: the next request is judged by the store."""
        ids = tuple(ids)
        self.edition.keys.invalidate(ids)
        self.edition.acting.lookups.forget(ids)

    def forget_all(self) -> None:
        """Forget all keys."""
        self.edition.keys.invalidate_all()
        self.edition.acting.lookups.forget_all()

    # ---- the end

    async def drain(self, seconds: float) -> None:
        """Stop accepting; requests in flight end within `seconds`, or at once when hurried."""
        async with asyncio.TaskGroup() as tasks:
            ending = tasks.create_task(self._drain(seconds))
            hurry = tasks.create_task(self._hurry.wait())
            await asyncio.wait((ending, hurry), return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                await self._drain(0)
            hurry.cancel()

    async def _drain(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            for listener in self._listeners:
                tasks.create_task(listener.drain(seconds))

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        self._hurry.set()

    def close_upstreams(self) -> None:
        """Close the connections to the upstreams of the edition in force."""
        for service in self.services.values():
            service.close()


@asynccontextmanager
async def opened(
    config: model.Config, number: int, runtime: Runtime, tasks: asyncio.TaskGroup
) -> AsyncIterator[DataPlane]:
    """Hold a data plane under `config` as generation `number`; it accepts nobody before `accept`.

    Its upkeep runs in `tasks`, which must outlive it. Raises `CannotStart`.
    """
    async with AsyncExitStack() as stack:
        retirement = Retirement(tasks)
        plane = DataPlane(config, number, runtime, retirement)
        stack.push_async_callback(plane.edition.keys.close)
        stack.push_async_callback(plane.edition.acting.lookups.close)
        runtime.deadlines.start()
        stack.callback(runtime.deadlines.stop)
        stack.push_async_callback(runtime.dialer.close)
        stack.callback(plane.close_upstreams)
        stack.callback(retirement.stop)
        _upkeep(plane, tasks, stack)
        yield plane


def _upkeep(plane: DataPlane, tasks: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
    """Start the work that is done again and again."""
    recorders = plane.runtime.recorders
    for writing in (
        Periodic(
            "writing the access log",
            lambda: plane.config.telemetry.access_log.flush,
            recorders.flush,
        ),
        Periodic(
            "writing the request log",
            lambda: plane.config.request_log.flush,
            recorders.flush_requests,
        ),
        Periodic("looking at the request log", lambda: LOOK_SECONDS, plane.look_at_door),
        Periodic(
            "exporting traces",
            lambda: plane.config.telemetry.traces.flush,
            recorders.flush_traces,
        ),
    ):
        tasks.create_task(writing.run(), name=writing.name)
        stack.callback(writing.stop)
    care = UpstreamCare(tasks, plane.runtime)
    stack.callback(care.stop)
    care.follow(plane.edition)
    plane.on_install.append(care.follow)
    recorders.lag.start()
    stack.callback(recorders.lag.stop)
    recorders.metrics.watch("config_retiring_upstreams", lambda: plane.retirement.waiting)
    recorders.watch_upstreams(lambda: [*plane.services.values()])
