"""Counts the open connections of each client over all workers.

Knows that an open connection is a request in flight of a bucket of its own: what a worker held is released with all
else when it dies. It must not know connections, or how an address became a name.
"""

from __future__ import annotations

from gateway.domain.limits import Claim, Concurrency, Grant
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.ports import LimiterUnavailable


class SharedHeadcount:
    """Implements `ports.Headcount` over the buckets of `limiter`, which needs an entry per open connection."""

    def __init__(self, limiter: SharedLimiter) -> None:
        self._limiter = limiter
        self._rule = Concurrency(name="open", limit=1)

    def enter(self, who: str, maximum: int) -> bool:
        """Count one connection of `who`; False when `maximum` are open, or when nobody can tell."""
        if self._rule.limit != maximum:
            self._rule = Concurrency(name="open", limit=maximum)
        claim = Claim(bucket=_bucket(who), policy="connections/open", rule=self._rule)
        try:
            return self._limiter.acquire((claim,)).refused is None
        except LimiterUnavailable:
            return False

    def leave(self, who: str) -> None:
        """A connection that was counted for `who` is closed."""
        self._limiter.release(Grant((), held=(_bucket(who),)))


def _bucket(who: str) -> str:
    return f"client:{who}:connections:open"
