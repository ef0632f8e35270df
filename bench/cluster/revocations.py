"""Revocation over three gateways under load: keys are used at all of them, and revoked at one of them, at random."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final

from bench.callers import get
from bench.cluster.nodes import ME, Cluster, make_key, make_tenant
from bench.revoking import Turns, admitted_late, both, refused_late

CONNECTIONS: Final = 3
"""Of users, at each gateway."""

AT_ONCE: Final = 2
"""Revocations under way at a time."""

_MADE_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """What came of it: `late` requests began after the call had returned and were let through, `partial` calls were
    answered with 202. Times are milliseconds.
    """

    revoked: int
    partial: int
    per_second: float
    p50: float
    p99: float
    longest: float
    asked: int
    refused: int
    late: int
    broken: int

    @property
    def is_kept(self) -> bool:
        """Tell whether each call had reached everybody, and nobody failed."""
        return self.revoked > 0 and not (self.late or self.partial or self.broken)


async def revocations(cluster: Cluster, keys: int, seconds: float) -> Revocations:
    """Make `keys` keys, let users ask with them at all gateways, and revoke one after the other for `seconds`."""
    made = await _keys(cluster, keys)
    turns = Turns(range(keys), range(keys), chance=random.Random(keys))
    seen, revoked = await both(
        [node.port for node in cluster.nodes],
        [node.admin_socket for node in cluster.nodes],
        lambda number: get(ME, made[number][1]),
        lambda number: made[number][0],
        turns,
        connections=CONNECTIONS,
        at_once=AT_ONCE,
        seconds=seconds,
    )
    return Revocations(
        revoked=len(revoked.effective),
        partial=revoked.partial,
        per_second=len(revoked.effective) / max(1e-9, sum(revoked.seconds) / AT_ONCE),
        p50=revoked.at(0.5),
        p99=revoked.at(0.99),
        longest=revoked.at(1.0),
        asked=len(seen.passed) + len(seen.refused),
        refused=refused_late(seen, revoked),
        late=len(admitted_late(seen, revoked)),
        broken=seen.broken,
    )


async def _keys(cluster: Cluster, count: int) -> list[tuple[str, str]]:
    """Make keys at the first gateway; return id and secret of each."""
    made: list[tuple[str, str]] = []
    async with cluster.nodes[0].admin() as session:
        await make_tenant(session)

        async def one_after_the_other(numbers: range) -> None:
            for number in numbers:
                made.append(await make_key(session, f"key {number}"))  # noqa: PERF401

        async with asyncio.TaskGroup() as tasks:
            for first in range(_MADE_AT_ONCE):
                tasks.create_task(one_after_the_other(range(first, count, _MADE_AT_ONCE)))
    return made
