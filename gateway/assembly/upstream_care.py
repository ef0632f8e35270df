"""What goes on beside requests for each upstream, begun when it comes into force and ended when it leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.assembly.edition import Edition
from gateway.assembly.reach import Upkeep
from gateway.assembly.runtime import Runtime
from gateway.upstreams.service import Service


class UpstreamCare:
    """Runs the upkeep of the upstreams in force, in `tasks`; `stop` ends all of it."""

    def __init__(self, tasks: asyncio.TaskGroup, runtime: Runtime) -> None:
        self._tasks = tasks
        self._runtime = runtime
        self._running: dict[Service, asyncio.Task[Any] | None] = {}

    def follow(self, edition: Edition) -> None:
        """Begin for the upstreams that are new, end for those that left."""
        services = {*edition.services.values()}
        for service in self._running.keys() - services:
            self._end(service)
        for service in services - self._running.keys():
            upkeep = Upkeep(
                edition.config,
                service,
                self._runtime.recorders.metrics,
                self._runtime.random.random,
            )
            self._running[service] = (
                self._tasks.create_task(upkeep.run(), name=upkeep.name)
                if upkeep.is_needed
                else None
            )

    def stop(self) -> None:
        """End for all."""
        for service in [*self._running]:
            self._end(service)

    def _end(self, service: Service) -> None:
        task = self._running.pop(service)
        if task is not None:
            task.cancel()
