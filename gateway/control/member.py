"""One worker process, as its supervisor knows it.

Knows how it is spoken to, whether it lives, and how it is ended. It must not know when that is to happen.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from gateway.control.channel import Channel
from gateway.control.crew import Load, WorkerReport, WorkerState
from gateway.control.heartbeat import Heartbeat

_log = logging.getLogger(__name__)

_EXIT_SECONDS: Final = 5.0
"""How long a worker that closed the channel may take to exit: it has nothing left to do."""

_LOOKS_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a worker inherits besides sockets: its `heartbeat`, and `segments` of shared memory by what they hold.

    `seat` is its number among all who hold something in them.
    """

    heartbeat: Heartbeat
    segments: Mapping[str, int]
    seat: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All descriptors."""
        return self.heartbeat.descriptor, *self.segments.values()


class Member:
    """A worker in `slot`. `generation` is the configuration that it goes by, `prepared` one that it could."""

    channel: Channel

    def __init__(
        self,
        slot: int,
        process: subprocess.Popen[bytes],
        equipment: Equipment,
        now: float,
    ) -> None:
        self.slot = slot
        self.generation = 0
        self.prepared = 0
        self.process = process
        self.equipment = equipment
        self.started = now
        self.state = WorkerState.STARTING
        self.load = Load(0, 0)
        self.gone = asyncio.Event()
        self.exited = asyncio.Event()

    def __str__(self) -> str:
        return f"worker {self.slot + 1} (pid {self.process.pid})"

    @property
    def may_know_keys(self) -> bool:
        """Tell whether it may have read keys: one that has not been told to serve has not."""
        return self.state is not WorkerState.STARTING

    def ask(self, message: object) -> asyncio.Future[Any]:
        """Ask over its channel."""
        return self.channel.ask(message)

    def tell(self, message: object) -> None:
        """Tell over its channel."""
        self.channel.tell(message)

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives. Its number is ours until it is waited for, so nobody else is hit."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    async def kill(self, seconds: float = _EXIT_SECONDS) -> bool:
        """End it at once; return whether it is gone."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()
        return self.gone.is_set()

    async def finish(self, seconds: float = _EXIT_SECONDS) -> bool:
        """End the process, whose channel is closed, at once; return whether it has ended.

        Whoever closed the channel in good order has nothing left to do. Else it may still serve, and hears nothing.
        """
        if not self.exited.is_set():
            self.signal(signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.exited.wait()
        return self.exited.is_set()

    async def ended(self) -> None:
        """Wait until the process, which has closed its channel, has ended. It can still be looked at until `buried`."""
        looks = int(_EXIT_SECONDS / _LOOKS_SECONDS)
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self.process.pid, how) is None:  # noqa: ASYNC222 - it does not wait
            looks -= 1
            if looks == 0:
                _log.error("%s does not exit: killed", self)
                self.signal(signal.SIGKILL)
            await asyncio.sleep(_LOOKS_SECONDS)

    def buried(self) -> str:
        """Let go of the process, which has ended; return how it ended."""
        how = _how(self.process.wait())
        self.exited.set()
        return how

    def report(self, restarts: int, now: float) -> WorkerReport:
        """Return how it stands at `now` (monotonic seconds)."""
        return WorkerReport(
            slot=self.slot,
            pid=self.process.pid,
            state=self.state,
            generation=self.generation,
            connections=self.load.connections,
            in_flight=self.load.in_flight,
            restarts=restarts,
            age_seconds=now - self.started,
        )


def _how(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
