"""Which worker accepts connections from which socket.

Knows that no socket may be left without anybody: the kernel deals connections out to all of them, whoever listens. It
must not know processes.
"""

from __future__ import annotations

from collections.abc import Iterable


def sockets_of(slot: int, serving: Iterable[int], count: int) -> frozenset[int]:
    """Return the sockets, of `count`, that the worker in `slot` accepts from while the workers in `serving` serve.

    Each has its own; those of slots in which nobody serves belong to all. A single socket is everybody's.
    """
    if count == 1:
        return frozenset({0})
    return frozenset({slot}) | (frozenset(range(count)) - frozenset(serving))
