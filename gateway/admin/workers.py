"""Workers over the admin API: who serves, and replacing them one after the other.

Knows paths and JSON. It must not know how a worker is started or watched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

from aiohttp import web

from gateway.admin.described import Description, describes
from gateway.admin.requests import answer, answer_page, read_dry_run, read_query
from gateway.admin.rights import needs
from gateway.admin.shapes import View
from gateway.admin.wire import instant
from gateway.domain.admin_tokens import Right

_BASE: Final = "/admin/v1/workers"


class Worker(Protocol):
    """What is shown of a worker; ages in seconds."""

    @property
    def slot(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def connections(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def age_seconds(self) -> float: ...


class Workers(Protocol):
    """Whoever serves."""

    def report(self) -> Awaitable[Sequence[Worker]]:
        """Return who serves."""
        ...

    def restart(self) -> Awaitable[int]:
        """Replace everybody, one after the other; return how many. Raises `Conflict` where that cannot be done."""
        ...


class WorkerView(View):
    """A worker: since when it runs, and what it has to do."""

    worker: int
    pid: int
    state: str
    generation: int
    connections: int
    in_flight: int
    restarts: int
    since: str | None

    @classmethod
    def of(cls, worker: Worker, now: float) -> WorkerView:
        """Show `worker`; `now` is epoch seconds."""
        return cls(
            worker=worker.slot + 1,
            pid=worker.pid,
            state=worker.state,
            generation=worker.generation,
            connections=worker.connections,
            in_flight=worker.in_flight,
            restarts=worker.restarts,
            since=instant(round(now - worker.age_seconds)),
        )


class Restarted(View):
    """The answer to `POST /workers:restart`: how many were replaced."""

    result: Literal["restarted"] = "restarted"
    workers: int


class WorkerRoutes:
    """The handlers of `/admin/v1/workers`."""

    def __init__(self, workers: Workers, now: Callable[[], float]) -> None:
        self._workers = workers
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(_BASE, self.page, allow_head=False),
            web.post(f"{_BASE}:restart", self.restart),
        ]

    @needs(Right.READ)
    @describes(Description(answer=WorkerView, is_page=True))
    async def page(self, request: web.Request) -> web.Response:
        """List all workers; there are never more than are configured, and those that drain."""
        read_query(request, ())
        found, now = await self._workers.report(), self._now()
        return answer_page((WorkerView.of(each, now) for each in found), "")

    @needs(Right.OPERATE)
    @describes(Description(answer=Restarted, is_act=True))
    async def restart(self, request: web.Request) -> web.Response:
        """Replace all workers, one after the other: each is drained when its successor serves."""
        if read_dry_run(request):
            return answer(Restarted(workers=len(await self._workers.report())))
        return answer(Restarted(workers=await self._workers.restart()))
