"""Limits over three gateways under load: a rate in any window of time, and a quota to the last request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.callers import Callers, failed, get, worst_excess
from bench.cluster.nodes import JOBS, Cluster, Node, make_key, make_tenant

RATE: Final = 200
"""Requests per second: enough to be taken in advance, which limits below 64 are not."""

BURST: Final = 100
QUOTA: Final = 1000
LEASE_SECONDS: Final = 0.5
"""The default of `limits.lease`."""

CONNECTIONS: Final = 3
"""At each gateway."""

_REFUSED_MIN: Final = 300
"""A quota counts as used up when it has refused so many."""

_PATIENCE_SECONDS: Final = 60.0

PLANS: Final = f"""\
  rate: {{rate: {{per_second: {RATE}, burst: {BURST}}}}}
  quota: {{quota: {{per_month: {QUOTA}}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """What came of it. `excess` is the worst window's beyond `burst + rate * t`, `allowed` what may be beyond that."""

    mode: str
    seconds: float
    asked: int
    admitted: int
    excess: float
    allowed: float
    quota_asked: int
    quota_admitted: int
    broken: int

    @property
    def is_kept(self) -> bool:
        """Tell whether both limits held, and nobody failed."""
        within = self.excess <= self.allowed and self.quota_admitted == QUOTA
        return within and not self.broken


def allowed(mode: str) -> float:
    """Return by how much a rate may be exceeded: by nothing, or by what one lease lets in."""
    return RATE * LEASE_SECONDS if mode == "leased" else 0.0


async def limited(cluster: Cluster, mode: str, seconds: float) -> Limited:
    """Let callers at all gateways ask for more than the limits let in."""
    async with cluster.nodes[0].admin() as session:
        await make_tenant(session)
        _, rated = await make_key(session, "rated", "rate")
        _, counted = await make_key(session, "counted", "quota")
    rates = await hammered(cluster.nodes, rated, seconds)
    quotas = await hammered(cluster.nodes, counted, _PATIENCE_SECONDS, refused_max=_REFUSED_MIN)
    admitted = [call for call in rates.calls if call.status == 200]
    return Limited(
        mode=mode,
        seconds=rates.calls[-1].ended - min(call.started for call in rates.calls),
        asked=len(rates.calls),
        admitted=len(admitted),
        excess=worst_excess(rates.calls, RATE, BURST),
        allowed=allowed(mode),
        quota_asked=len(quotas.calls),
        quota_admitted=sum(call.status == 200 for call in quotas.calls),
        broken=len(failed((*rates.calls, *quotas.calls), 200, 429)),
    )


async def hammered(
    nodes: Sequence[Node], secret: str, seconds: float, refused_max: int = 0
) -> Callers:
    """Ask at all of them at once for `seconds`, or until so many requests were refused."""
    callers = Callers(lambda: (0, get(JOBS, secret)))
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    def is_enough() -> bool:
        refused = sum(call.status == 429 for call in callers.calls) if refused_max else 0
        return loop.time() > end or (refused_max > 0 and refused >= refused_max)

    async with asyncio.TaskGroup() as tasks:
        for node in nodes:
            for _ in range(CONNECTIONS):
                tasks.create_task(callers.call(node.name, node.port))
        while not is_enough():  # noqa: ASYNC110 - looking is all there is
            await asyncio.sleep(0.1)
        callers.is_over = True
    return callers
