"""Keeps workers alive: starts them, notices that one died or stands still, and starts another in its place.

Knows when a worker is started, killed and drained, and which sockets each accepts from meanwhile. It must not know what
a worker does, nor what else it is told: that is `remote_crew`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from gateway.config.model import Supervision
from gateway.control.backoff import Backoff
from gateway.control.channel import Declined, Gone, connect
from gateway.control.crew import WorkerState
from gateway.control.heartbeat import Watcher
from gateway.control.member import Equipment, Member
from gateway.control.messages import Begin, Drain, Hurry, Serve
from gateway.control.slots import sockets_of
from gateway.control.spawn import DUMP_SIGNAL, spawn
from gateway.control.weight import Scales
from gateway.ports import Clock, Conflict

_log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 0.5
"""How often hearts are listened to: a tenth of every sensible timeout."""

_DUMP_SECONDS: Final = 0.25
"""How long a stuck worker has to write down where it stands, before it is killed."""

_LEAVE_SECONDS: Final = 5.0
"""What a worker may take beyond its drain, to write its last lines and exit."""


class StartFailed(Exception):
    """A worker did not come up; the text says why."""


class Orders(Protocol):
    """What the gateway tells a supervisor."""

    def equip(self) -> Equipment:
        """Return what the next worker is to inherit. Raises `LookupError` when there is nothing left for it."""
        ...

    def joined(self, pid: int, equipment: Equipment) -> None:
        """Take note that the process `pid` has it."""
        ...

    def left(self, pid: int, equipment: Equipment) -> None:
        """Settle what a worker has left behind; its process has ended, or never began (`pid` 0)."""
        ...

    def begin(self, member: Member, sockets: tuple[int, ...]) -> Begin:
        """Return the first message to a worker: the configuration in force now."""
        ...

    @property
    def settings(self) -> Supervision:
        """How to watch over workers now."""
        ...

    @property
    def drain_timeout(self) -> float:
        """How long requests may take to end when a worker is replaced."""
        ...

    async def hear(self, pid: int, message: object) -> None:
        """Take in what the worker `pid` says."""
        ...


class Supervisor:
    """Keeps one worker in each of `count` slots, in `tasks`, which must outlive it. `members` are all that live.

    Connections to `listening` are dealt out to the slots; `everybodys` are sockets that each worker accepts from.
    """

    def __init__(
        self,
        count: int,
        listening: Sequence[socket.socket],
        orders: Orders,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        everybodys: Sequence[socket.socket] = (),
    ) -> None:
        self.count = count
        self.members: list[Member] = []
        self.restarts = [0] * count
        self._listening = listening
        self._everybodys = everybodys
        self._orders = orders
        self._monotonic = clock.monotonic
        self._tasks = tasks
        self._current: dict[int, Member] = {}
        self._backoffs = [Backoff() for _ in range(count)]
        self._stopping = asyncio.Event()
        self._burials: set[Member] = set()
        self._all_buried = asyncio.Event()
        self._all_buried.set()
        self._turn = asyncio.Lock()

    @property
    def serving(self) -> list[Member]:
        """Those who take requests."""
        return [each for each in self._current.values() if each.state is WorkerState.SERVING]

    @property
    def leaving(self) -> list[Member]:
        """Those whose channel has closed and whose process has not been seen to end."""
        return [each for each in self._burials if each.gone.is_set()]

    # ---- the beginning

    async def start(self) -> None:
        """Start all workers. Raises `StartFailed`, with the reason of one of them, if none comes up."""
        try:
            async with asyncio.TaskGroup() as tasks:
                hired = [tasks.create_task(self._try(slot)) for slot in range(self.count)]
            failures = [failure for each in hired if (failure := each.result()) is not None]
            if len(failures) == self.count:
                raise failures[0]  # noqa: TRY301 - it ends like everything else that goes wrong here
            await self._settle_sockets()
        except BaseException:
            await self._disband()
            raise
        for slot in range(self.count):
            if slot not in self._current:
                self._tasks.create_task(self._revive(slot, 0.0), name=f"worker {slot + 1}")
        self._tasks.create_task(self._watch(), name="watching workers")

    async def _try(self, slot: int) -> StartFailed | None:
        try:
            self._employ(await self._hire(slot))
        except StartFailed as failure:
            return failure
        return None

    async def _hire(self, slot: int) -> Member:
        """Start a worker for `slot`; return it when it could serve. Raises `StartFailed`."""
        member = await self._spawn(slot)
        # What is in force now, and no wait before it is a member: a reload meanwhile must reach it.
        sockets = tuple(sock.fileno() for sock in self._listening)
        begin = self._orders.begin(member, sockets)
        member.generation = begin.generation
        if not member.gone.is_set():
            self.members.append(member)
        if self._stopping.is_set():
            member.signal(signal.SIGKILL)
        seconds = self._orders.settings.start_timeout
        try:
            async with asyncio.timeout(seconds):
                await member.ask(begin)
        except Declined as declined:
            why = str(declined)
        except Gone:
            why = f"{member} died while it started"
        except TimeoutError:
            why = f"{member} was not ready after {seconds:g} s"
        else:
            return member
        await member.kill()
        raise StartFailed(why)

    async def _spawn(self, slot: int) -> Member:
        if self._stopping.is_set():
            raise StartFailed("the gateway is stopping")
        try:
            equipment = self._orders.equip()
        except LookupError as error:
            raise StartFailed(str(error)) from error
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        inherited = [sock.fileno() for sock in (*self._listening, *self._everybodys)]
        try:
            with theirs:
                process = spawn(theirs.fileno(), (*inherited, *equipment.descriptors))
        except OSError as error:
            ours.close()
            self._orders.left(0, equipment)
            raise StartFailed(f"a worker process could not be started: {error}") from error
        self._orders.joined(process.pid, equipment)
        member = Member(slot, process, equipment, self._monotonic())
        self._burials.add(member)
        self._all_buried.clear()
        ours.setblocking(False)
        member.channel = await connect(
            ours,
            partial(self._orders.hear, process.pid),
            self._tasks,
            partial(self._lost, member),
        )
        return member

    def _employ(self, member: Member) -> None:
        """Let `member` serve in its slot."""
        if member.gone.is_set():
            raise StartFailed(f"{member} died as soon as it was ready")
        member.state = WorkerState.SERVING
        self._current[member.slot] = member

    async def _settle_sockets(self) -> None:
        """Tell everybody who serves from which sockets to accept, and wait until they do."""
        serving = {member.slot for member in self.serving}
        answers = [
            member.ask(Serve(sockets_of(member.slot, serving, len(self._listening))))
            for member in self.serving
        ]
        if answers:
            await asyncio.wait(answers, timeout=self._orders.settings.acknowledge_timeout)

    # ---- death

    def _lost(self, member: Member) -> None:
        """Take note that the channel to `member` ended: it is dead, or has nothing left to do."""
        member.gone.set()
        if member in self.members:
            self.members.remove(member)
        self._tasks.create_task(self._bury(member), name=f"burying {member}")

    async def _bury(self, member: Member) -> None:
        is_current = self._current.get(member.slot) is member
        if is_current:
            del self._current[member.slot]
            await self._settle_sockets()
        await member.ended()
        self._orders.left(member.process.pid, member.equipment)
        how = member.buried()
        self._burials.discard(member)
        if not self._burials:
            self._all_buried.set()
        if is_current and not self._stopping.is_set():
            _log.error("%s %s; another one takes its place", member, how)
            await self._revive(member.slot, self._monotonic() - member.started)
        else:
            _log.debug("%s %s", member, how)

    async def _revive(self, slot: int, lived_seconds: float) -> None:
        """Start workers for `slot` until one serves."""
        backoff = self._backoffs[slot]
        while not self._stopping.is_set():
            delay = backoff.died(lived_seconds)
            if delay:
                _log.error(
                    "worker %d died early %d times in a row; the next one is started in %g s",
                    slot + 1,
                    backoff.early_deaths,
                    delay,
                )
            if await self._is_stopping_within(delay):
                return
            self.restarts[slot] += 1
            lived_seconds = 0.0
            try:
                self._employ(await self._hire(slot))
            except StartFailed as failure:
                _log.error("worker %d could not be started: %s", slot + 1, failure)
                continue
            except Exception:  # noqa: BLE001 - logged: the next one may come up
                _log.exception("worker %d could not be started", slot + 1)
                continue
            await self._settle_sockets()
            _log.warning("%s serves", self._current.get(slot))
            return

    async def _is_stopping_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    # ---- standing still

    async def _watch(self) -> None:
        """Listen to all hearts until the end."""
        watcher, scales = Watcher(WATCH_SECONDS), Scales()
        while not await self._is_stopping_within(WATCH_SECONDS):
            watcher.look(self._monotonic())
            for member in [*self.members]:
                if member.state in (WorkerState.STARTING, WorkerState.STUCK):
                    continue
                silence = watcher.silence(member.equipment.heartbeat.last)
                if silence > self._orders.settings.stuck_timeout:
                    self._tasks.create_task(self._end_stuck(member, silence), name="stuck")
            self._weigh(scales)

    async def _end_stuck(self, member: Member, silence: float) -> None:
        _log.error(
            "%s has stood still for %.1f s: it is replaced; its stack follows", member, silence
        )
        member.state = WorkerState.STUCK
        await self._settle_sockets()
        member.signal(DUMP_SIGNAL)
        await asyncio.sleep(_DUMP_SECONDS)
        await member.kill()

    # ---- replacing and ending

    def _weigh(self, scales: Scales) -> None:
        """Replace the worker that has too much memory, unless somebody is being replaced already."""
        now, serving = self._monotonic(), {each.process.pid: each for each in self.serving}
        ages = [(pid, now - each.started) for pid, each in serving.items()]
        found = scales.heaviest(ages, self._orders.settings.worker_memory_max, now)
        if found is not None and not self._turn.locked():
            pid, weight = found
            self._tasks.create_task(self._relieve(serving[pid], weight), name="too heavy")

    async def _relieve(self, member: Member, weight: int) -> None:
        _log.error(
            "%s has %d MiB in memory, more than supervision.worker_memory_max: it is replaced",
            member,
            weight >> 20,
        )
        async with self._turn:
            try:
                await self._replace(member)
            except StartFailed as failure:
                _log.error("%s was not replaced: %s", member, failure)

    async def _replace(self, old: Member) -> None:
        """Let another worker serve in the slot of `old`, which is drained. Raises `StartFailed`."""
        member = await self._hire(old.slot)
        if self._stopping.is_set() or self._current.get(old.slot) is not old:
            await member.kill()  # it died meanwhile, and was replaced already
            return
        self._employ(member)
        old.state = WorkerState.DRAINING
        await self._settle_sockets()
        self._tasks.create_task(self._retire(old, self._orders.drain_timeout))

    async def restart(self) -> int:
        """Replace all workers, one after the other: each drains when its successor serves; return how many.

        Raises `Conflict` when a successor does not come up; the worker that it was to replace goes on.
        """
        async with self._turn:
            before = sorted(self._current.items())
            for slot, old in before:
                try:
                    await self._replace(old)
                except StartFailed as failure:
                    raise Conflict(f"worker {slot + 1} was not replaced: {failure}") from failure
            return len(before)

    async def _retire(self, member: Member, seconds: float) -> None:
        """Let `member` end what it has within `seconds`, then end it."""
        member.state = WorkerState.DRAINING
        member.tell(Drain(seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds + _LEAVE_SECONDS):
                await member.gone.wait()
        if not member.gone.is_set():
            _log.error("%s did not end in time: killed", member)
            await member.kill()

    async def drain(self, seconds: float) -> None:
        """Let all workers end what they have within `seconds`; nobody takes their place."""
        self._stopping.set()
        for sock in (*self._listening, *self._everybodys):
            sock.close()
        async with asyncio.TaskGroup() as tasks:
            for member in [*self.members]:
                if member.state is WorkerState.STARTING:
                    tasks.create_task(member.kill())
                else:
                    tasks.create_task(self._retire(member, seconds))
        await self._all_buried.wait()

    def hurry(self) -> None:
        """Cut what the workers still wait for."""
        for member in self.members:
            member.tell(Hurry())

    async def _disband(self) -> None:
        """End everybody at once."""
        self._stopping.set()
        for member in [*self.members]:
            await member.kill()
        await self._all_buried.wait()
