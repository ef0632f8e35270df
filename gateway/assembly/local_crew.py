"""The crew of a gateway that has one process: the data plane beside the control plane.

Implements `control.crew.Crew` by plain calls: what is told is done when the call returns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from gateway.assembly.data_plane import DataPlane
from gateway.config import model
from gateway.control.crew import Acknowledged, WorkerReport, WorkerState
from gateway.ports import Conflict, Streams
from gateway.upstreams.overview import ServiceOverview

_DONE = Acknowledged(1, 1)


class LocalCrew:
    """Implements `Crew` over `plane`."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.streams: Streams = plane.streams
        self._started = plane.runtime.clock.monotonic()
        self._is_draining = False

    async def forget(self, ids: Iterable[str]) -> Acknowledged:
        """Forget the keys, and the keys of the tenants, with these ids."""
        self._plane.forget(ids)
        return _DONE

    async def forget_all(self) -> Acknowledged:
        """Forget all keys."""
        self._plane.forget_all()
        return _DONE

    @property
    def silent(self) -> Sequence[str]:
        """Name nobody: what is told is done when the call returns."""
        return ()

    def prolong(self, until: float) -> None:
        """Do nothing: who prolongs the lease and who goes by it share it."""

    async def prepare(self, number: int, config: model.Config) -> None:
        """Make `config` ready. Raises `ReloadRefused`."""
        await self._plane.heir.prepare(number, config)

    async def install(self, number: int, config: model.Config, changed: Sequence[str]) -> None:  # noqa: ARG002 - those who join later need more
        """Put what was prepared into force."""
        self._plane.heir.install(changed)

    async def abandon(self) -> None:
        """Let go of what was prepared."""
        await self._plane.heir.abandon()

    async def overview(self) -> Sequence[ServiceOverview]:
        """Return the state of the upstreams."""
        return self._plane.overview()

    async def report(self) -> Sequence[WorkerReport]:
        """Return the one that serves."""
        load = self._plane.load()
        return [
            WorkerReport(
                slot=0,
                pid=os.getpid(),
                state=WorkerState.DRAINING if self._is_draining else WorkerState.SERVING,
                generation=self._plane.generation.number,
                connections=load.connections,
                in_flight=load.in_flight,
                restarts=0,
                age_seconds=self._plane.runtime.clock.monotonic() - self._started,
            )
        ]

    async def restart(self) -> int:
        """Refuse: the process that would do it is the one to be replaced."""
        raise Conflict(
            "one process serves by itself, so there are no workers to replace: set `workers`"
        )

    def reopen_logs(self) -> None:
        """Go on in a new access log file."""
        self._plane.runtime.recorders.reopen()

    @property
    def obstacles(self) -> Sequence[str]:
        """Say nothing: whoever asks is served by the same loop."""
        return ()

    async def drain(self, seconds: float) -> None:
        """Stop accepting; requests in flight end within `seconds`."""
        self._is_draining = True
        await self._plane.drain(seconds)

    def hurry(self) -> None:
        """Cut what a drain still waits for."""
        self._plane.hurry()
