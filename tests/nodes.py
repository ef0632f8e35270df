"""The register of gateways in memory, over a store in memory; it can be out of reach for one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from gateway.domain.keys import KeyRecord
from gateway.domain.nodes import Cut, Node, Roll
from gateway.domain.tenants import Tenant
from gateway.ports import StoreUnavailable
from gateway.stores.memory import MemoryStore


class Book:
    """What is written down, for all gateways."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.nodes: dict[str, Node] = {}
        self.now = 1_700_000_001.0


class MemoryNodes:
    """Implements `cluster_ports.Nodes`: one gateway's way to the book."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.is_away = False

    async def beat(self, own: Node) -> Roll:
        self._require()
        revision = await self.book.store.revision()
        known = self.book.nodes.get(own.node_id)
        acknowledged, cuts = min(own.acknowledged_revision, revision), ()
        if known is not None:
            acknowledged, cuts = known.acknowledged_revision, known.cuts  # type: ignore[assignment]
        self.book.nodes[own.node_id] = replace(
            own, heartbeat_at=self.book.now, acknowledged_revision=acknowledged, cuts=cuts
        )
        return await self.roll()

    async def roll(self, ids: Collection[str] = ()) -> Roll:
        self._require()
        store = self.book.store
        found = [await store.get(kind, each) for kind in (KeyRecord, Tenant) for each in ids]
        wanted = max((each.revision for each in found if each is not None), default=0)
        nodes = sorted(self.book.nodes.values(), key=lambda node: (node.name, node.node_id))
        return Roll(tuple(nodes), await store.revision(), wanted)

    async def acknowledge(self, node_id: str, revision: int, cuts: Sequence[Cut]) -> None:
        self._require()
        node = self.book.nodes.get(node_id)
        if node is not None:
            node = replace(node, acknowledged_revision=revision, cuts=tuple(cuts))
            self.book.nodes[node_id] = node

    async def remove(self, node_id: str, beat: int | None = None) -> None:
        self._require()
        node = self.book.nodes.get(node_id)
        if node is not None and beat in (None, node.beat):
            del self.book.nodes[node_id]

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
