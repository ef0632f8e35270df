"""The database and the Redis of three gateways are killed under load and started again: what callers see of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from bench.callers import Callers, get, longest
from bench.cluster.nodes import JOBS, Cluster, asked, make_key, make_tenant
from bench.machine import Unusable

CONNECTIONS: Final = 2
AWAY_SECONDS: Final = 2.0
"""Shorter than the lease: keys in memory go on working."""

_SETTLE_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What was seen: requests by status (0: none), the slowest answer, and when changes worked again (seconds after the
    server was started again).
    """

    what: str
    statuses: dict[int, int]
    longest: float
    changes_after: float

    @property
    def is_kept(self) -> bool:
        """Tell whether no caller failed."""
        return set(self.statuses) == {200}


async def outages(cluster: Cluster) -> list[Outage]:
    """Kill one server after the other; those that are somebody else's are left alone."""
    servers, found = cluster.servers, []
    async with cluster.nodes[0].admin() as session:
        await make_tenant(session)
        _, secret = await make_key(session, "lasting", "rate-of-many")
        for what, server in (("Redis", servers.redis), ("PostgreSQL", servers.database)):
            if server is not None:
                found.append(
                    await _outage(cluster, what, session, secret, server.kill, server.start)
                )
    return found


async def _outage(
    cluster: Cluster,
    what: str,
    session: aiohttp.ClientSession,
    secret: str,
    kill: Callable[[], None],
    start: Callable[[], None],
) -> Outage:
    callers = Callers(lambda: (0, get(JOBS, secret)))
    async with asyncio.TaskGroup() as tasks:
        for node in cluster.nodes:
            for _ in range(CONNECTIONS):
                tasks.create_task(callers.call(node.name, node.port))
        try:
            await asyncio.sleep(_SETTLE_SECONDS)
            await asyncio.to_thread(kill)
            await asyncio.sleep(AWAY_SECONDS)
            await asyncio.to_thread(start)
            changes_after = await _until_changed(session)
            await asyncio.sleep(_SETTLE_SECONDS)
        finally:
            callers.is_over = True
    statuses = Counter(call.status for call in callers.calls)
    return Outage(
        what=what,
        statuses=dict(statuses),
        longest=longest(callers.calls),
        changes_after=changes_after,
    )


async def _until_changed(session: aiohttp.ClientSession) -> float:
    """Return how long it takes until a change is taken and has reached everybody."""
    begun = time.monotonic()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                key_id, _ = await make_key(session, "one of many")
                answer = await asked(session, "POST", f"/keys/{key_id}:revoke", {"reason": "x"})
            except Unusable:
                await asyncio.sleep(0.1)
                continue
            if answer["status"] == 200:
                return time.monotonic() - begun
