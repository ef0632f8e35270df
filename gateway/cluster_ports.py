"""The seam to the register of gateways that share one store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from gateway.domain.nodes import Cut, Node, Roll


class Nodes(Protocol):
    """The register. Every method raises `StoreUnavailable` within five seconds when the store does not answer."""

    async def beat(self, own: Node) -> Roll:
        """Give a sign of life; return everybody, as of after that.

        Whoever is not in the register is entered, as having acknowledged what `own` says, and at most what there is.
        """
        ...

    async def roll(self, ids: Collection[str] = ()) -> Roll:
        """Return everybody. `wanted` is the latest revision among the keys and tenants with these ids, 0 for none."""
        ...

    async def acknowledge(self, node_id: str, revision: int, cuts: Sequence[Cut]) -> None:
        """Say that a gateway serves by nothing that was before `revision`, and what its latest changes ended there."""
        ...

    async def remove(self, node_id: str, beat: int | None = None) -> None:
        """Strike a gateway out: one that ends, or that gave no sign of life after `beat`."""
        ...


class Session(Protocol):
    """The connection through which news come, and by which one of all gateways is the leader."""

    @property
    def is_leader(self) -> bool:
        """Tell whether we are."""
        ...

    async def attend(self) -> None:
        """See to it that news come, and try to become the leader; done again and again.

        After news may have been missed, they are reported as if there were some. Raises `StoreUnavailable`.
        """
        ...
