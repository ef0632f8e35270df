"""Workers: their supervisor, and what it tells them of this gateway.

Knows what a worker is given at its beginning, what becomes of what it says, and of what it leaves behind. It must not
know how a worker is kept alive.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from gateway.assembly.counting import METRICS, Elsewhere, SharedCounts
from gateway.assembly.errors import CannotStart
from gateway.assembly.explaining import Explainer
from gateway.config.model import Supervision
from gateway.control.heartbeat import Heartbeat
from gateway.control.member import Equipment, Member
from gateway.control.messages import Begin, Counted, LookAtReadings, Rekey, Told, Used
from gateway.control.periodic import Periodic
from gateway.control.remote_crew import RemoteCrew
from gateway.control.supervisor import StartFailed, Supervisor
from gateway.telemetry.log import LogFormatter
from gateway.telemetry.segment import SEGMENT_ROWS, Segment

if TYPE_CHECKING:
    from gateway.assembly.gateway import Gateway

_SETTLE_SECONDS: Final = 1.0
"""How often what workers have counted and left behind is taken."""

_ASK_AGAIN_SECONDS: Final = 1.0
"""How often a worker is asked and killed again that neither did what it was told nor died of not doing it."""


class Workforce:
    """Implements `control.supervisor.Orders` for `gateway`, with that many workers."""

    def __init__(
        self, gateway: Gateway, count: int, questions: Sequence[socket.socket] = ()
    ) -> None:
        self._gateway = gateway
        self._questions = questions
        self._count = count
        # While workers are replaced there are two for a slot, and a third where the first is not settled yet.
        self.counts = SharedCounts(gateway.config, 3 * count)
        self._crew = gateway.recorders.metrics.crew
        self._metrics: dict[int, Segment] = {}  # by seat

    # ---- what a worker has

    def equip(self) -> Equipment:
        """Return what the next worker is to inherit. Raises `LookupError` when there is no seat left for it."""
        seat = self.counts.take_seat()
        budget = self._gateway.config.telemetry.series_budget
        metrics = self._metrics[seat] = Segment.create(max(SEGMENT_ROWS, budget))
        segments = {**self.counts.descriptors, METRICS: metrics.descriptor}
        return Equipment(Heartbeat.create(), segments, seat)

    def joined(self, pid: int, equipment: Equipment) -> None:
        """Count what the worker `pid` counts."""
        self._crew.join(pid, self._metrics[equipment.seat])

    def left(self, pid: int, equipment: Equipment) -> None:
        """Keep what a worker has counted and give back what it held; its process has ended, or never began (0)."""
        metrics = self._metrics.pop(equipment.seat)
        if pid:
            self._crew.leave(pid)
        else:
            metrics.close()
        self.counts.leave_seat(equipment.seat)
        equipment.heartbeat.close()

    def begin(self, member: Member, sockets: tuple[int, ...]) -> Begin:
        """Return the first message to a worker: the configuration in force now."""
        gateway, equipment = self._gateway, member.equipment
        lease = gateway.lease
        level, is_json = _log_settings()
        return Begin(
            config=gateway.config,
            config_path=str(gateway.config_path),
            generation=gateway.number,
            slot=member.slot,
            slots=self._count,
            sockets=sockets,
            questions=tuple(sock.fileno() for sock in self._questions),
            heartbeat=equipment.heartbeat.descriptor,
            segments=equipment.segments,
            seat=equipment.seat,
            log_level=level,
            log_is_json=is_json,
            lease_until=None if lease is None else lease.until,
        )

    @property
    def settings(self) -> Supervision:
        """How to watch over workers now."""
        return self._gateway.config.supervision

    @property
    def drain_timeout(self) -> float:
        """How long requests may take to end when a worker is replaced."""
        return self._gateway.config.listeners.public.drain_timeout

    # ---- what a worker says

    async def hear(self, pid: int, message: object) -> None:
        """Take in what the worker `pid` says."""
        match message:
            case Used(last_used):
                self._gateway.recorders.last_used.restore(last_used)
            case Counted(cells, facets):
                self._gateway.recorders.usage.take(cells, facets)
            case Rekey(record, digest, pepper_id):
                self._gateway.rekeying.offer(record, digest, pepper_id)
            case Told(readings):
                self._crew.heard(pid, {name: {**values} for name, values in readings.items()})

    async def settle(self) -> None:
        """Take what workers have left behind."""
        self._crew.tick()
        self.counts.settle()


def _log_settings() -> tuple[str, bool]:
    """Return how this process logs: its workers do the same."""
    root = logging.getLogger()
    formatters = [handler.formatter for handler in root.handlers]
    is_json = any(isinstance(each, LogFormatter) and each.is_json for each in formatters)
    return logging.getLevelName(root.level).lower(), is_json


async def join(
    gateway: Gateway,
    public: Sequence[socket.socket],
    questions: Sequence[socket.socket],
    counts: Mapping[str, tuple[int, int]],
    tasks: asyncio.TaskGroup,
    stack: AsyncExitStack,
) -> Callable[[], Awaitable[None]]:
    """Give `gateway` workers that listen on `public`, and for `questions` of proxies, and go on from these quota
    `counts`; return what lets them serve.

    That raises `CannotStart` when no worker comes up.
    """
    count = gateway.workers
    force = Workforce(gateway, count, questions)
    stack.callback(force.counts.close)
    elsewhere = Elsewhere(gateway.config, gateway.config_path, gateway.clock)
    if not elsewhere.is_wanted:  # else they are where they are counted
        force.counts.limits.import_counts(counts)
        gateway.export_counts = force.counts.limits.export_counts
    gateway.explainer = Explainer(gateway, force.counts.looked_at)
    gateway.recorders.watch_limiter(lambda: force.counts.limits.forgotten_early)
    supervisor = Supervisor(count, public, force, gateway.clock, tasks, questions)
    crew = RemoteCrew(supervisor, gateway.number, gateway.config, gateway.clock)
    gateway.crew = crew

    async def look() -> None:
        for pid, readings in await crew.told(LookAtReadings()):
            await force.hear(pid, Told(readings))

    gateway.look = look
    for work in (
        Periodic("settling counts", lambda: _SETTLE_SECONDS, force.settle),
        Periodic("asking again", lambda: _ASK_AGAIN_SECONDS, crew.stragglers.try_again),
    ):
        tasks.create_task(work.run(), name=work.name)
        stack.callback(work.stop)

    async def serve() -> None:
        try:
            await supervisor.start()
        except StartFailed as failure:
            raise CannotStart(str(failure)) from failure

    return serve
