"""A worker: the data plane of a gateway that has several, led by a supervisor over a channel.

Knows what each message of the supervisor means here. It reads no configuration file and writes to no store. When the
supervisor is gone it ends, because nobody would tell it any more that a key was revoked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

from gateway import __version__
from gateway.assembly import data_plane
from gateway.assembly.access_logs import redactor
from gateway.assembly.certificates import Certificates
from gateway.assembly.counting import METRICS, Elsewhere, attached
from gateway.assembly.data_plane import DataPlane
from gateway.assembly.edition import Edition
from gateway.assembly.errors import CannotStart
from gateway.assembly.late_store import LateFinder
from gateway.assembly.recorders import Recorders
from gateway.assembly.runtime import Runtime
from gateway.assembly.share import Share
from gateway.assembly.snapshots import known_keys
from gateway.assembly.tls_files import Prepared
from gateway.config import model
from gateway.config.reloading import ReloadRefused
from gateway.control import messages
from gateway.control.beside import beside
from gateway.control.channel import Channel, Declined, connect
from gateway.control.clock import Moments, SystemClock
from gateway.control.crew import Load
from gateway.control.garbage import settle_memory
from gateway.control.heartbeat import Heartbeat, Pulse
from gateway.control.periodic import Periodic
from gateway.domain.keys import KeyRecord
from gateway.domain.nodes import Lease
from gateway.domain.streams import StreamReport
from gateway.ports import KeyFinder, StoreUnavailable
from gateway.stores.observed import ObservedFinder
from gateway.stores.snapshots.finder import ReservedKeys
from gateway.telemetry import log
from gateway.telemetry.readings import Readings
from gateway.telemetry.segment import Segment, SegmentRows
from gateway.upstreams.overview import ServiceOverview

_TELL_SECONDS: Final = 1.0
"""How often last uses and readings are told to the supervisor, which writes them as often."""

_LOOK_SECONDS: Final = 1.0
"""How often a store that does not answer is asked again."""

_TOLD_MAX: Final = 200
"""Counts of usage in one message: making it keeps the event loop from requests for some milliseconds."""


class Worker:
    """What a worker process holds. Parts live in `parts`, work in `tasks`, what ends before the work in `running`.

    `wanted` is the version of the supervisor: what the two say to each other differs from one to the next.
    """

    channel: Channel
    plane: DataPlane
    certificates: Certificates

    def __init__(
        self,
        parts: AsyncExitStack,
        tasks: asyncio.TaskGroup,
        running: AsyncExitStack,
        wanted: str,
    ) -> None:
        self._wanted = wanted
        self._parts = parts
        self._tasks = tasks
        self._running = running
        self._begun = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._prepared: Prepared | None = None
        self._sockets: list[socket.socket] = []
        self._questions: list[socket.socket] = []
        self._servers: dict[int, asyncio.Server] = {}
        self._is_beginning = False
        self._is_draining = False
        self.finished = asyncio.Event()
        self._acts: Mapping[type, Callable[[Any], Awaitable[object]]] = {
            messages.Serve: self._serve,
            messages.Forget: self._forget,
            messages.Prolong: self._prolong,
            messages.Prepare: self._prepare,
            messages.Install: self._install,
            messages.Abandon: self._abandon,
            messages.ListStreams: self._list_streams,
            messages.CutStreams: self._cut_streams,
            messages.LookAtUpstreams: self._look_at_upstreams,
            messages.LookAtLoad: self._look_at_load,
            messages.LookAtReadings: self._look_at_readings,
            messages.ReopenLogs: self._reopen_logs,
            messages.Drain: self._obey_drain,
            messages.Hurry: self._hurry,
        }

    async def answer(self, message: object) -> object:
        """Do what the supervisor says (`control.channel.Answer`)."""
        if self._wanted != __version__:
            raise Declined(
                f"Tollhouse {__version__} lies where {self._wanted}, which is running, was started from:"
                " restart the gateway"
            )
        if isinstance(message, messages.Begin):
            await self._begin(message)
            return None
        await self._begun.wait()
        act = self._acts.get(type(message))
        if act is None:
            raise Declined(f"{type(message).__name__} means nothing here")
        return await act(message)

    # ---- the beginning

    async def _begin(self, begin: messages.Begin) -> None:
        self._is_beginning = True
        try:
            await self._open(begin)
        except (CannotStart, StoreUnavailable, OSError) as error:
            raise Declined(str(error)) from error
        finally:
            self._is_beginning = False
            if self.channel.is_gone:
                self.finished.set()
        settle_memory()
        self._begun.set()

    async def _open(self, begin: messages.Begin) -> None:
        config, path, clock = begin.config, Path(begin.config_path), SystemClock()
        formatter = log.configure(
            begin.log_level,
            is_json=begin.log_is_json,
            redactor=redactor(config),
            worker=begin.slot + 1,
        )
        loop = asyncio.get_running_loop()
        pulse = Pulse(Heartbeat(begin.heartbeat), loop, clock.monotonic)
        pulse.start()
        self._parts.callback(pulse.stop)
        rows = SegmentRows(Segment.attach(begin.segments[METRICS]))
        recorders = Recorders(config, path, clock, rows=rows)
        self._parts.push_async_callback(recorders.close)
        self.certificates = Certificates(config, path, clock, recorders.metrics)
        store = await self._store(config, path, recorders)
        elsewhere = Elsewhere(config, path, clock)
        here = attached(config, clock, begin.segments, begin.seat)
        counting = await self._running.enter_async_context(
            elsewhere.opened(here, recorders.metrics, self._tasks)
        )
        runtime = Runtime(
            path,
            clock=clock,
            store=store,
            recorders=recorders,
            certificates=self.certificates,
            counting=counting,
            rekey=self._rekey,
            share=Share(begin.slot, begin.slots),
            lease=None if begin.lease_until is None else Lease(begin.lease_until),
        )
        self.plane = await self._running.enter_async_context(
            data_plane.opened(config, begin.generation, runtime, self._tasks)
        )
        self.plane.on_install += [_redacting(formatter, config), self._follow]
        self._sockets = [socket.socket(fileno=number) for number in begin.sockets]
        self._questions = [socket.socket(fileno=number) for number in begin.questions]
        self._running.callback(self._close_sockets)
        telling = Periodic("telling the supervisor", lambda: _TELL_SECONDS, self._tell)
        self._tasks.create_task(telling.run(), name=telling.name)
        self._running.callback(telling.stop)

    async def _store(self, config: model.Config, path: Path, recorders: Recorders) -> KeyFinder:
        """Return where keys are looked for: the store, and its snapshot while that does not answer."""
        clock, self._config = SystemClock(), config
        finder = LateFinder(config, path)
        self._parts.push_async_callback(finder.close)
        known = known_keys(lambda: self._config, path, Moments(clock))
        store = ObservedFinder(finder, clock, recorders.store_operation)
        recorders.watch_store(store)
        try:
            await finder.open()
        except StoreUnavailable:
            if known is None:
                raise
            store.is_up = False
        if known is None:
            return store
        self._parts.push_async_callback(known.close)

        async def try_again() -> None:
            if not store.is_up:
                with suppress(StoreUnavailable):
                    await finder.open()
                    await store.get_tenant("")  # so that it is known to answer again

        trying = Periodic("looking for the store", lambda: _LOOK_SECONDS, try_again)
        self._tasks.create_task(trying.run(), name=trying.name)
        self._running.callback(trying.stop)
        return ReservedKeys(store, known)

    def _follow(self, edition: Edition) -> None:
        self._config = edition.config

    def _rekey(self, record: KeyRecord, digest: bytes, pepper_id: str) -> None:
        self.channel.tell(messages.Rekey(record, digest, pepper_id))

    async def _tell(self) -> None:
        recorders = self.plane.runtime.recorders
        last_used = recorders.last_used.drain()
        if last_used:
            self.channel.tell(messages.Used(last_used))
        for part in recorders.usage.drain(_TOLD_MAX):
            self.channel.tell(messages.Counted(part.cells, part.facets))
            await asyncio.sleep(0)
        self.channel.tell(messages.Told(recorders.metrics.readings()))

    # ---- sockets

    async def _serve(self, message: messages.Serve) -> None:
        """Accept from the sockets with these numbers; who waits in the queue of another is left to another."""
        if self._is_draining:
            return
        wanted = message.sockets
        for number in self._servers.keys() - wanted:
            self._servers.pop(number).close()
        backlog = self.plane.config.listeners.public.backlog
        for number in wanted - self._servers.keys():
            sock = self._sockets[number].dup()
            self._servers[number] = await self.plane.listener.serve(sock, backlog)
        while self._questions:
            await self.plane.be_asked(self._questions.pop())

    def _close_sockets(self) -> None:
        for sock in (*self._sockets, *self._questions):
            sock.close()

    # ---- the configuration: one step at a time, because preparing takes a while

    async def _prepare(self, message: messages.Prepare) -> None:
        async with self._reloading:
            try:
                self._prepared = await beside(self.certificates.prepare, message.config)
                await self.plane.heir.prepare(message.number, message.config)
            except (CannotStart, ReloadRefused) as error:
                raise Declined(str(error)) from error

    async def _install(self, message: messages.Install) -> None:
        async with self._reloading:
            if self._prepared is None or not self.plane.heir.is_ready(message.number):
                raise Declined(f"generation {message.number} was not prepared")
            self.plane.heir.install(message.changed)
            self.certificates.replace(self._prepared)

    async def _abandon(self, _: messages.Abandon) -> None:
        async with self._reloading:
            await self.plane.heir.abandon()

    # ---- what is asked while requests are served

    async def _forget(self, message: messages.Forget) -> None:
        if message.ids is None:
            self.plane.forget_all()
        else:
            self.plane.forget(message.ids)

    async def _prolong(self, message: messages.Prolong) -> None:
        lease = self.plane.runtime.lease
        if lease is not None:
            lease.until = message.until

    async def _list_streams(self, _: messages.ListStreams) -> list[StreamReport]:
        return await self.plane.streams.listed()

    async def _cut_streams(self, message: messages.CutStreams) -> int:
        return await self.plane.streams.cut(message.condemn)

    async def _look_at_upstreams(self, _: messages.LookAtUpstreams) -> list[ServiceOverview]:
        return self.plane.overview()

    async def _look_at_load(self, _: messages.LookAtLoad) -> Load:
        return self.plane.load()

    async def _look_at_readings(self, _: messages.LookAtReadings) -> Readings:
        return self.plane.runtime.recorders.metrics.readings()

    async def _reopen_logs(self, _: messages.ReopenLogs) -> None:
        self.plane.runtime.recorders.reopen()

    # ---- the end

    async def _obey_drain(self, message: messages.Drain) -> None:
        self.drain(message.seconds)

    async def _hurry(self, _: messages.Hurry) -> None:
        self.plane.hurry()

    def drain(self, seconds: float) -> None:
        """Stop accepting, end within `seconds`, and let the process end. Once is enough."""
        if not self._is_draining:
            self._is_draining = True
            self._tasks.create_task(self._drain(seconds), name="draining")

    async def _drain(self, seconds: float) -> None:
        # At once, and not with the rest: a new supervisor may want to listen there.
        self._close_sockets()
        await self.plane.drain(seconds)
        self.finished.set()

    def left_alone(self) -> None:
        """End: the supervisor is gone."""
        if self._begun.is_set():
            self.drain(self.plane.config.listeners.public.drain_timeout)
        elif not self._is_beginning:  # else it ends when what is being opened can be closed
            self.finished.set()


def _redacting(formatter: log.LogFormatter, config: model.Config) -> Any:
    """Return what lets our own log follow the formats of keys."""
    latest = config

    def follow(edition: Edition) -> None:
        nonlocal latest
        formatter.redactor = redactor(edition.config, latest)
        latest = edition.config

    return follow


async def serve(sock: socket.socket, wanted: str) -> None:
    """Be a worker of the supervisor at the other end of `sock`, which is of version `wanted`, until told to end or left
    alone.
    """
    async with (
        AsyncExitStack() as parts,
        asyncio.TaskGroup() as tasks,
        AsyncExitStack() as running,
    ):
        worker = Worker(parts, tasks, running, wanted)
        worker.channel = await connect(sock, worker.answer, tasks, worker.left_alone)
        # Closed last: until then the supervisor takes what we say, and holds us for alive.
        parts.push_async_callback(worker.channel.close)
        await worker.finished.wait()
