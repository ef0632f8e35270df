"""How many files the process may have open, and how many connections that allows.

Knows the operating system's limit, which it raises as far as a process may. It must not know what a connection is for.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_log = logging.getLogger(__name__)

_ENDLESS: Final = resource.RLIM_INFINITY

RESERVE: Final = 128
"""Descriptors for everything that is no request: listeners, store, logs, admin and metrics clients, health checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a configuration may open: `clients` connections, `upstream_connections` in all, `idle_upstream` of them
    unused.

    A client's connection has one request at a time and so needs one upstream connection at most, beside the idle ones.
    """

    clients: int
    upstream_connections: int
    idle_upstream: int

    @property
    def descriptors(self) -> int:
        """The descriptors that are enough whatever happens."""
        return self.clients + RESERVE + self._upstream(self.clients)

    def _upstream(self, clients: int) -> int:
        return min(self.upstream_connections, clients + self.idle_upstream)

    def clients_within(self, limit: int) -> int:
        """Return how many client connections are safe with `limit` descriptors, at most those wanted; maybe none."""
        free = limit - RESERVE
        fitting = max(free - self.upstream_connections, (free - self.idle_upstream) // 2)
        return max(0, min(self.clients, fitting))


def _read() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _raise_to(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, _read()[1]))


def make_room(
    demand: Demand,
    *,
    read: Callable[[], tuple[int, int]] = _read,
    write: Callable[[int], None] = _raise_to,
) -> int:
    """Raise the limit of open files as far as `demand` needs it and return the client connections that it allows.

    `read` tells the soft and the hard limit of the process, `write` sets the soft one. A connection that cannot be
    accepted for want of a descriptor is lost, and so is the log line or the upstream connection that wants the next
    one; so too many clients are turned away before that happens.
    """
    soft, hard = read()
    needed = demand.descriptors
    if soft != _ENDLESS and soft < needed:
        try:
            write(needed if hard == _ENDLESS else min(needed, hard))
        except (OSError, ValueError):
            _log.debug("the limit of open files stays %d", soft)  # macOS allows less than it says
        soft, _ = read()
    clients = demand.clients if soft == _ENDLESS else demand.clients_within(soft)
    if clients < demand.clients:
        _log.warning(
            "the limit of open files is %d, but connections_max %d and %d upstream connections may need %d: "
            "connections_max is %d; raise the hard limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=) or lower it",
            soft,
            demand.clients,
            demand.upstream_connections,
            needed,
            clients,
        )
    return clients
