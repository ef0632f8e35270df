"""Gateways that share one store: who they are, what they have acknowledged, and when one is gone.

Knows the rule by which a gateway may serve what it has in memory, and others may do without its answer; both sides of
it stand here. It must not know how they hear of each other.

A gateway that reaches the store says how long its word holds: its *lease*. It counts from the moment before it asked,
trusts itself for a little less, and from then on believes nothing that it remembers. Everybody else counts from the
moment at which the sign of life was seen, which is later, and waits for the whole lease. Each measures with a clock of
its own that never goes back, so no two clocks have to agree on the time; they have to run equally fast, within a tenth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

TRUST: Final = 0.9
"""The part of its lease for which a gateway believes what it remembers."""


@dataclass(frozen=True, slots=True)
class Cut:
    """So many requests ended at a gateway because a record was changed; it had learnt all up to `revision` by then."""

    revision: int
    record_id: str
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One gateway as the store knows it.

    `beat` is another number with each sign of life; `heartbeat_at` is when that was, by the clock of the store, which
    may be set: to be shown, and never relied on. Up to `acknowledged_revision` it serves by nothing that was before.
    `audit_key` is the fingerprint of the public key with which it signs; `cuts` are the latest.
    """

    node_id: str
    name: str
    address: str = ""
    version: str = ""
    audit_key: str = ""
    started_at: float = 0.0
    beat: int = 0
    heartbeat_at: float = 0.0
    lease_seconds: float = 0.0
    acknowledged_revision: int = 0
    is_leader: bool = False
    cuts: tuple[Cut, ...] = ()

    def __str__(self) -> str:
        return f"gateway {self.name} ({self.node_id})"


@dataclass(frozen=True, slots=True)
class Roll:
    """All gateways at one moment. `revision` is that of the store; `wanted` the latest of the records asked about."""

    nodes: tuple[Node, ...]
    revision: int
    wanted: int = 0

    def of(self, node_id: str) -> Node:
        """Return the gateway with this id, which is among them."""
        return next(node for node in self.nodes if node.node_id == node_id)

    def company(self, node_id: str) -> list[Node]:
        """Return the others that seem to be about, to whoever has just given a sign of life: a guess, by one clock."""
        now = self.of(node_id).heartbeat_at
        return [
            node
            for node in self.nodes
            if node.node_id != node_id and now - node.heartbeat_at < node.lease_seconds
        ]


class Lease:
    """Until when what is in memory may be believed: seconds of a clock that never stops, not even in sleep."""

    __slots__ = ("until",)

    def __init__(self, until: float = 0.0) -> None:
        self.until = until


class _Sighting:
    __slots__ = ("at", "beat")

    def __init__(self, beat: int, at: float) -> None:
        self.beat = beat
        self.at = at


class Sightings:
    """When which sign of life was seen first; `now` are seconds of our own clock."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}

    def look(self, nodes: Iterable[Node], now: float) -> None:
        """Take note of all gateways that there are."""
        present = {}
        for node in nodes:
            known = self._seen.get(node.node_id)
            is_known = known is not None and known.beat == node.beat
            present[node.node_id] = known if known and is_known else _Sighting(node.beat, now)
        self._seen = present

    def is_live(self, node: Node, now: float) -> bool:
        """Tell whether `node`, which was looked at, may still serve what it has in memory."""
        return now < self._seen[node.node_id].at + node.lease_seconds

    def age(self, node: Node, now: float) -> float:
        """Return for how long there was no other sign of life."""
        return now - self._seen[node.node_id].at


def cut_elsewhere(nodes: Sequence[Node], ids: Collection[str], wanted: int) -> int:
    """Return how many requests ended at `nodes` because of the change of `ids` that the store numbers `wanted`."""
    return sum(
        cut.requests
        for node in nodes
        for cut in node.cuts
        if cut.record_id in ids and cut.revision >= wanted
    )
