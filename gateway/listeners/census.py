"""Who is connected: counts in all and per address, and which idle connection makes room for a new one.

Knows how many there may be and why connections were refused or ended. It must not know what they carry.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from gateway.domain.closing import Closed, Refused
from gateway.domain.networks import fold_address
from gateway.limiters.headcount import MemoryHeadcount
from gateway.ports import Headcount

if TYPE_CHECKING:
    from gateway.listeners.connection import DownstreamConnection

_BATCH_MAX: Final = 1024
"""Idle connections that one look finds: a look at all of 16384 takes milliseconds, so it must serve for many."""

_LOOK_SECONDS: Final = 1.0
"""How long a look that found nothing idle stands: a flood must not buy a look with every connection."""


class Census:
    """The connections of one listener in this process; `headcount` counts those of an address in all processes."""

    def __init__(
        self, time: Callable[[], float], *, ipv6_prefix: int, headcount: Headcount | None = None
    ) -> None:
        self.connections: set[DownstreamConnection] = set()
        self.headcount = headcount or MemoryHeadcount()
        self.refused = dict.fromkeys(Refused, 0)
        self.closed = dict.fromkeys(Closed, 0)
        self._time = time
        self.ipv6_prefix = ipv6_prefix
        self._idle: list[tuple[float, DownstreamConnection]] = []  # the longest idle last
        self._next_look = 0.0

    def has_room(self, connections_max: int) -> bool:
        """Tell whether one more connection may come; closes the one that is idle for longest if it must."""
        return len(self.connections) < connections_max or self._evict()

    def refuse(self, connection: DownstreamConnection, cause: Refused) -> bool:
        """Count a connection as refused, and no longer as open; returns False, as the answer to whether it may come."""
        self.refused[cause] += 1
        connection.is_refused = True
        self.forget(connection)
        return False

    def identify(self, connection: DownstreamConnection, maximum: int) -> bool:
        """Count a connection for its client's address; False when there are too many of it. `maximum` 0 is no limit.

        IPv6 addresses count as the network that one customer has: else each address of a /64 had a share of its own.
        """
        address = connection.peer_address
        if not maximum or not address:
            return True
        folded = fold_address(address, self.ipv6_prefix)
        if not self.headcount.enter(folded, maximum):
            return False
        connection.counted_as = folded
        return True

    def forget(self, connection: DownstreamConnection) -> None:
        """A connection is closed, or as good as closed; harmless for one that was forgotten before."""
        self.connections.discard(connection)
        counted, connection.counted_as = connection.counted_as, ""
        if counted:
            self.headcount.leave(counted)

    def _evict(self) -> bool:
        if self._evict_known():
            return True
        now = self._time()
        if now < self._next_look:
            return False
        self._look(now)
        if self._evict_known():
            return True
        self._next_look = now + _LOOK_SECONDS
        return False

    def _evict_known(self) -> bool:
        """Close the first of those seen idle that has neither ended nor served a request since."""
        while self._idle:
            since, connection = self._idle.pop()
            if (
                connection in self.connections
                and connection.idle_since == since
                and connection.evict()
            ):
                self.forget(connection)
                return True
        return False

    def _look(self, now: float) -> None:
        """Note the connections that are idle for longest."""
        idle = ((c.idle_since, c) for c in self.connections)
        batch = max(1, min(_BATCH_MAX, len(self.connections) // 16))
        longest = nsmallest(batch, (pair for pair in idle if pair[0] <= now), key=lambda p: p[0])
        self._idle = longest[::-1]
