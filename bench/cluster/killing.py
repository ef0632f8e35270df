"""The leader of three gateways is killed under load and comes back: who notices, and for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from bench.callers import Call, Callers, failed, get, longest, worst_excess
from bench.cluster.limits import BURST, RATE, allowed
from bench.cluster.nodes import JOBS, Cluster, Node, asked, make_key, make_tenant
from bench.machine import Unusable

CONNECTIONS: Final = 2
"""Of callers without a limit, at each gateway; one more has a limit."""

_LIMITED: Final = 1
_FREE: Final = 0
_BEFORE_SECONDS: Final = 2.0
_EVERY_SECONDS: Final = 0.25
"""How often something is revoked, and how often it is asked who leads."""

_KEYS: Final = 100
"""To be revoked. They are made before: that would be the change which waits."""

_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What was seen; times in seconds from the kill on, but for calls, which are how long they took.

    `named_until`: from then on changes were answered 200 and waited for nobody. `away`: between the last answer of the
    killed gateway and the first one of its successor.
    """

    mode: str
    name: str
    others_asked: int
    others_failed: int
    others_longest: float
    own_cut: int
    own_refused: int
    away: float
    named: int
    named_until: float
    first_call: float
    later_call: float
    leader: str
    leads_after: float
    start: float
    acknowledged: str
    excess: float
    allowed: float

    @property
    def is_kept(self) -> bool:
        """Tell whether nobody else noticed, no limit was exceeded, and everything was as before afterwards."""
        is_as_before = self.acknowledged == "3/3"
        return not self.others_failed and self.excess <= self.allowed and is_as_before


async def killed(cluster: Cluster, mode: str) -> Killed:
    """Kill the leader under load, look at what becomes of it, and start it again. Raises `Unusable`."""
    async with AsyncExitStack() as stack:
        sessions = {
            node.name: await stack.enter_async_context(node.admin()) for node in cluster.nodes
        }
        async with asyncio.timeout(_PATIENCE_SECONDS):
            victim = cluster.named(await _leader(sessions[cluster.nodes[0].name]))
        others = [node for node in cluster.nodes if node is not victim]
        first = sessions[others[0].name]
        await make_tenant(first)
        _, free = await make_key(first, "free")
        _, limited = await make_key(first, "limited", "rate")
        doomed = iter([(await make_key(first, f"doomed {n}"))[0] for n in range(_KEYS)])
        callers = _Both(free, limited)
        async with asyncio.TaskGroup() as tasks:
            for node in cluster.nodes:
                for _ in range(CONNECTIONS):
                    tasks.create_task(callers.free.call(node.name, node.port))
                tasks.create_task(callers.limited.call(node.name, node.port))
            await asyncio.sleep(_BEFORE_SECONDS)
            try:
                found = await _play(victim, [sessions[node.name] for node in others], doomed)
            finally:
                callers.free.is_over = callers.limited.is_over = True
        return _told(mode, victim, others, callers, found)


class _Both:
    """The callers, by what their key may do."""

    def __init__(self, free: str, limited: str) -> None:
        self.free = Callers(lambda: (_FREE, get(JOBS, free)))
        self.limited = Callers(lambda: (_LIMITED, get(JOBS, limited)))


@dataclass(slots=True)
class _Found:
    killed_at: float = 0.0
    named: int = 0
    named_until: float = 0.0
    first_call: float = 0.0
    later_call: float = 0.0
    leader: str = ""
    leads_after: float = 0.0
    start: float = 0.0
    acknowledged: str = ""


async def _play(
    victim: Node, sessions: Sequence[aiohttp.ClientSession], doomed: Iterator[str]
) -> _Found:
    found = _Found(killed_at=time.time())
    victim.kill()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_watch_leader(victim, sessions[0], found))
        tasks.create_task(_change(sessions[1], doomed, found))
    begun = time.time()
    victim.start()
    await asyncio.to_thread(victim.wait)
    found.start = time.time() - begun
    enforcement = await _revoked(sessions[1], next(doomed))
    found.acknowledged = f"{enforcement['acknowledged']}/{enforcement['of']}"
    await asyncio.sleep(1.0)  # its callers come back
    return found


async def _watch_leader(victim: Node, session: aiohttp.ClientSession, found: _Found) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        found.leader = await _leader(session, victim.name)
    found.leads_after = time.time() - found.killed_at


async def _change(session: aiohttp.ClientSession, doomed: Iterator[str], found: _Found) -> None:
    """Revoke until nobody is named any more."""
    for key_id in doomed:
        begun = time.time()
        answer = await _revoked(session, key_id)
        took = time.time() - begun
        if found.first_call == 0.0:
            found.first_call = took
        else:
            found.later_call = max(found.later_call, took)
        if not answer["silent"]:
            found.named_until = time.time() - found.killed_at
            return
        found.named += 1
        await asyncio.sleep(_EVERY_SECONDS)
    raise Unusable("a gateway that is gone is named for ever")


async def _revoked(session: aiohttp.ClientSession, key_id: str) -> dict[str, Any]:
    """Revoke a key; return how far that has come."""
    answer = await asked(session, "POST", f"/keys/{key_id}:revoke", {"reason": "measured"})
    enforcement: dict[str, Any] = answer["enforcement"]
    if bool(enforcement["silent"]) != (answer["status"] == 202):
        raise Unusable(f"{answer['status']} names {enforcement['silent']}")
    return enforcement


async def _leader(session: aiohttp.ClientSession, victim: str = "") -> str:
    """Return the name of who leads. The one that was killed seems to, until its lease is over."""
    while True:
        listed = (await asked(session, "GET", "/nodes"))["data"]
        names = {str(node["name"]) for node in listed if node["is_leader"]} - {victim}
        if names:
            return min(names)
        await asyncio.sleep(_EVERY_SECONDS)


def _told(mode: str, victim: Node, others: Sequence[Node], callers: _Both, found: _Found) -> Killed:
    names = [node.name for node in others]
    elsewhere = [*callers.free.of(*names), *callers.limited.of(*names)]
    own = callers.free.of(victim.name)
    bad = failed(callers.limited.of(*names), 200, 429) + failed(callers.free.of(*names))
    broken = failed(own)
    return Killed(
        mode=mode,
        name=victim.name,
        others_asked=len(elsewhere),
        others_failed=len(bad),
        others_longest=longest(elsewhere),
        own_cut=sum(not call.why.startswith("connecting") for call in broken),
        own_refused=sum(call.why.startswith("connecting") for call in broken),
        away=_away(own, found.killed_at),
        named=found.named,
        named_until=found.named_until,
        first_call=found.first_call,
        later_call=found.later_call,
        leader=found.leader,
        leads_after=found.leads_after,
        start=found.start,
        acknowledged=found.acknowledged,
        excess=worst_excess(callers.limited.calls, RATE, BURST),
        allowed=allowed(mode),
    )


def _away(calls: Sequence[Call], killed_at: float) -> float:
    """Return how long nobody answered where the gateway was killed."""
    answered = sorted(call.ended for call in calls if call.status == 200)
    before = max((each for each in answered if each <= killed_at), default=killed_at)
    after = min((each for each in answered if each > killed_at + 0.5), default=float("inf"))
    return after - before
