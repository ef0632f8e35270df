"""The other gateways that share our store: telling them that we live, and knowing when a change has reached them all.

Knows the lease under which we may believe what we remember (the rule is in `domain.nodes`), who may still serve by what
was before, and who never answered. It must not know where the register is kept, nor what a key is.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from gateway.cluster_ports import Nodes, Session
from gateway.config.model import Cluster as Settings
from gateway.domain.nodes import TRUST, Cut, Lease, Node, Roll, Sightings, cut_elsewhere
from gateway.ports import StoreUnavailable

_BEATS_PER_LEASE: Final = 5
"""Four signs of life may be lost."""

_LATE_SECONDS: Final = 0.2
"""How soon it is tried again when one was."""

_LOOK_SECONDS: Final = 0.1
"""How often the register is read while somebody is waited for; news of an acknowledgement come before that."""

_CUTS_MAX: Final = 64
"""How many of the latest cuts are told: whoever asks does so within seconds."""

_EVERYTHING: Final = 2**62
"""What a gateway has acknowledged that has nothing in memory: the register makes it the newest revision there is."""

_STRUCK_SECONDS: Final = 3600.0
"""How long a gateway that is gone is shown, before the leader strikes it out."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a change has come among the other gateways: `silent` of `of` may still serve by what was before.

    `cut` requests ended at them because of it.
    """

    of: int = 0
    silent: tuple[str, ...] = ()
    cut: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One gateway as operators see it."""

    node: Node
    is_self: bool
    is_live: bool
    age_seconds: float


@dataclass(slots=True)
class _Late:
    node: Node
    wanted: int
    since: float


class Cluster:
    """Our place among the gateways. `own` says who we are; `uptime` returns seconds that never stop, not in sleep.

    `has_company` tells whether others were about when we came. `lease` is shared with whoever keeps keys in memory
    here. `regain` is called when it has run out and the store can be reached again, before anything is believed: it
    forgets all, and learns what has changed. `spread` passes a longer lease on to other processes. Nothing is believed
    for longer than `believed_seconds`, whatever the lease would allow. Who `stays` is waited for after its end, too,
    until its lease is over: something is left by which it might serve.
    """

    def __init__(
        self,
        own: Node,
        nodes: Nodes,
        settings: Callable[[], Settings],
        uptime: Callable[[], float],
        lease: Lease | None = None,
        believed_seconds: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.lease = lease or Lease()
        self._believed_seconds = believed_seconds
        self.session: Session | None = None
        self.regain: Callable[[], Awaitable[object]] = _nothing
        self.spread: Callable[[float], object] = _ignore
        self._own = own
        self._told = 0
        self._nodes = nodes
        self._settings = settings
        self._uptime = uptime
        self._sightings = Sightings()
        self._roll = Roll((), 0)
        self._late: dict[str, _Late] = {}
        self._heard = asyncio.Event()
        self._is_cut_off = False
        self.stays = False
        self.has_company = False
        self._turn = asyncio.Lock()

    # ---- our own life

    @property
    def own(self) -> Node:
        """Who we are."""
        return self._own

    @property
    def is_held(self) -> bool:
        """Tell whether what is in memory may be believed."""
        return self._uptime() < self.lease.until

    @property
    def is_leader(self) -> bool:
        """Tell whether it is us who do what only one may do."""
        return self.session is not None and self.session.is_leader and self.is_held

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the last sign of life did not reach the store."""
        return self._is_cut_off

    @property
    def pause(self) -> float:
        """How long to wait for the next sign of life."""
        seconds = self._settings().lease / _BEATS_PER_LEASE
        return min(seconds, _LATE_SECONDS) if self._is_cut_off else seconds

    async def join(self, forget: Callable[[], Awaitable[object]] | None = None) -> Roll:
        """Enter the register: from now on others wait for us. Raises `StoreUnavailable`.

        Who serves already is made to `forget` all before anything is believed.
        """
        started = self._uptime()
        self._own = replace(self._own, acknowledged_revision=_EVERYTHING)
        roll = await self._beat()
        self._own = replace(self._own, acknowledged_revision=self._told)
        self.has_company = bool(roll.company(self._own.node_id))
        if forget is not None:
            await forget()
        self._extend(started)
        return roll

    def serve_at(self, address: str) -> None:
        """Say from the next sign of life on where we serve."""
        self._own = replace(self._own, address=address)

    async def beat(self) -> None:
        """Give a sign of life, and believe what is remembered for a while longer. Raises `StoreUnavailable`."""
        started = self._uptime()
        self._is_cut_off = True
        await self._beat()
        if not self.is_held:
            # Others may have done without our answer: nothing that we know is sure any more.
            _log.warning("the store was out of reach for too long: what is in memory is read anew")
            await self.regain()
        self._is_cut_off = False
        self._extend(started)

    async def _beat(self) -> Roll:
        own = replace(
            self._own,
            beat=self._own.beat + 1,
            lease_seconds=self._settings().lease,
            is_leader=self.is_leader,
        )
        self._own = own
        roll = await self._nodes.beat(own)
        self._look(roll)
        return roll

    def _extend(self, started: float) -> None:
        seconds = min(self._own.lease_seconds * TRUST, self._believed_seconds())
        self.lease.until = started + seconds
        self.spread(self.lease.until)

    async def leave(self) -> None:
        """Leave the register: nobody has to wait for us any more. What cannot be reached notices by itself.

        Nor is it left by who is cut off: the next start may go on under what is left of the lease.
        """
        self.lease.until = 0.0
        if self._is_cut_off or self.stays:
            return
        with suppress(StoreUnavailable):
            await self._nodes.remove(self._own.node_id)

    # ---- what we acknowledge

    async def acknowledge(self, revision: int, cut: Mapping[str, int]) -> None:
        """Say that nobody here serves by what was before `revision`, and how many requests each record's change ended.

        Raises `StoreUnavailable`; then it is said the next time.
        """
        async with self._turn:
            if revision == self._told and not cut:
                return
            new = [Cut(revision, record_id, count) for record_id, count in cut.items() if count]
            cuts = (*self._own.cuts, *new)[-_CUTS_MAX:]
            self._own = replace(self._own, cuts=cuts)
            await self._nodes.acknowledge(self._own.node_id, revision, cuts)
            self._own = replace(self._own, acknowledged_revision=revision)
            self._told = revision

    # ---- what others acknowledge

    def hear(self) -> None:
        """Take note that somebody has acknowledged something."""
        heard, self._heard = self._heard, asyncio.Event()
        heard.set()

    async def reach(self, ids: Collection[str]) -> Reach:
        """Wait until no other gateway serves by what was before the change of the records with these ids.

        Those who did not answer to an earlier change are not waited for again. Never raises.
        """
        try:
            roll = await self._look_up(ids)
        except StoreUnavailable as error:
            _log.error("how far a change has come is not known: %s", error)
            others = [each for each in self._others(self._roll) if self._may_serve(each)]
            return Reach(len(others), tuple(map(str, others)))
        wanted = roll.wanted
        deadline = asyncio.get_running_loop().time() + self._settings().acknowledge_timeout
        while self._awaited(roll, wanted) and asyncio.get_running_loop().time() < deadline:
            heard = self._heard
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await heard.wait()
            with suppress(StoreUnavailable):
                roll = await self._look_up(ids)
        behind = self._behind(roll, wanted)
        for node in behind:
            self._owe(node, wanted)
        others = [each for each in self._others(roll) if self._may_serve(each)]
        # News come to us as well: what that has ended before whoever made the change did is not in the register yet.
        cut = cut_elsewhere((*self._others(roll), self._own), ids, wanted)
        return Reach(len(others), tuple(map(str, behind)), cut)

    async def _look_up(self, ids: Collection[str] = ()) -> Roll:
        roll = await self._nodes.roll(ids)
        self._look(roll)
        return roll

    def _others(self, roll: Roll) -> list[Node]:
        return [node for node in roll.nodes if node.node_id != self._own.node_id]

    def _may_serve(self, node: Node) -> bool:
        return self._sightings.is_live(node, self._uptime())

    def _behind(self, roll: Roll, wanted: int) -> list[Node]:
        return [
            node
            for node in self._others(roll)
            if node.acknowledged_revision < wanted and self._may_serve(node)
        ]

    def _awaited(self, roll: Roll, wanted: int) -> list[Node]:
        return [node for node in self._behind(roll, wanted) if node.node_id not in self._late]

    # ---- those who did not answer

    @property
    def silent(self) -> Sequence[str]:
        """Name those who may still serve by what was before."""
        return [str(late.node) for late in self._late.values()]

    def _owe(self, node: Node, wanted: int) -> None:
        late = self._late.get(node.node_id)
        if late is None:
            _log.error(
                "%s has not acknowledged a change: until it does, or its lease of %g s is over, it may serve by what"
                " was before",
                node,
                node.lease_seconds,
            )
            self._late[node.node_id] = _Late(node, wanted, self._uptime())
        else:
            late.wanted = max(late.wanted, wanted)

    def _look(self, roll: Roll) -> None:
        """Take note of who lives, and of who has answered after all."""
        now = self._uptime()
        self._roll = roll
        self._sightings.look(roll.nodes, now)
        present = {node.node_id: node for node in roll.nodes}
        if self._own.node_id in present:
            self._told = present[self._own.node_id].acknowledged_revision
        for node_id, late in [*self._late.items()]:
            node = present.get(node_id)
            if node is not None and self._sightings.is_live(node, now):
                if node.acknowledged_revision < late.wanted:
                    continue
                how = "has acknowledged it"
            else:
                how = "is gone"
            del self._late[node_id]
            _log.warning("%s %s, after %.1f s", late.node, how, now - late.since)

    # ---- what operators see

    async def report(self) -> list[NodeReport]:
        """Return all gateways. Raises `StoreUnavailable`."""
        roll = await self._look_up()
        now = self._uptime()
        return [
            NodeReport(
                node=node,
                is_self=node.node_id == self._own.node_id,
                is_live=self._sightings.is_live(node, now),
                age_seconds=self._sightings.age(node, now),
            )
            for node in roll.nodes
        ]

    @property
    def others(self) -> frozenset[str]:
        """The names of the other gateways that were live when the register was read last."""
        return frozenset(each.name for each in self._others(self._roll) if self._may_serve(each))

    def counts(self) -> Mapping[tuple[str, ...], float]:
        """Return how many gateways were live, and lost, when the register was read last."""
        states = [self._may_serve(node) for node in self._roll.nodes]
        return {("live",): float(sum(states)), ("lost",): float(len(states) - sum(states))}

    async def strike_out(self) -> None:
        """Strike out who has been gone for long; the leader does."""
        now = self._uptime()
        for node in self._others(self._roll):
            age = self._sightings.age(node, now)
            if not self._sightings.is_live(node, now) and age >= _STRUCK_SECONDS:
                await self._nodes.remove(node.node_id, node.beat)


async def _nothing() -> None:
    """There is nothing to forget yet."""


def _ignore(_: float) -> None:
    """There are no other processes."""
