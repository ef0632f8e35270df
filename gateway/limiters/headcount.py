"""Counts the open connections of each client in one process.

Knows numbers. It must not know connections, or how an address became a name.
"""

from __future__ import annotations


class MemoryHeadcount:
    """Implements `ports.Headcount`. Its size is bounded by the connections that are open."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}

    def enter(self, who: str, maximum: int) -> bool:
        """Count one connection of `who`; False when `maximum` are open, and nothing is counted."""
        count = self.open.get(who, 0)
        if count >= maximum:
            return False
        self.open[who] = count + 1
        return True

    def leave(self, who: str) -> None:
        """A connection that was counted for `who` is closed."""
        count = self.open.get(who, 0)
        if count > 1:
            self.open[who] = count - 1
        elif count:
            del self.open[who]
