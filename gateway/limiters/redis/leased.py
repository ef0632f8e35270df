"""The limiter that takes requests from Redis many at a time, and lets them in without asking.

Knows when a request can be let in by what this node has, and that all other requests are asked for as `exact` does it.
What has to be true of a lease is in `leases`. It must not know connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from gateway.domain.limits import Claim, Grant
from gateway.limiters.redis import wire
from gateway.limiters.redis.calls import Call
from gateway.limiters.redis.exact import ExactLimiter
from gateway.limiters.redis.leases import Lease, is_worth_it
from gateway.ports import LimiterUnavailable

_LEASES_MAX: Final = 8_192
"""Buckets that are taken from at a time; all others are asked for. To look after so many takes 2 ms."""


class LeasedLimiter:
    """Implements `ports.Limiter` over `exact`: requests may be let in for `hold_seconds` after they were taken."""

    def __init__(self, exact: ExactLimiter, hold_seconds: float) -> None:
        self.exact = exact
        self.outage = exact.outage
        self._hold = hold_seconds
        self._monotonic = exact.clock.monotonic
        self._now = exact.clock.now
        self._leases: dict[str, Lease] = {}
        exact.correct = self._without_what_is_at_hand

    def acquire(self, claims: Sequence[Claim]) -> Grant | Awaitable[Grant]:
        """Draw one request from every claim, or from none. Raises `LimiterUnavailable`; then nothing was drawn."""
        leases = self._all(claims)
        if not leases:
            return self.exact.acquire(claims)
        now = self._monotonic()
        grant: Grant | Awaitable[Grant]
        if all(lease.has(now) for lease in leases):
            levels = [lease.spend(now) for lease in leases]
            grant = Grant.admit(claims, levels, (), self._now())
        else:
            grant = self.exact.acquire(claims)
        if self.exact.server.is_up:
            for claim, lease in zip(claims, leases, strict=True):
                lease.note(now)
                count = lease.wanted(now)
                if count:
                    lease.is_asking = True
                    self._send(_Take(self.exact, claim, lease, count, now))
        return grant

    def look(self, claims: Sequence[Claim]) -> None:
        """Tell nothing: what others have drawn is not known here."""

    def release(self, grant: Grant) -> None:
        """Give back the concurrency that `grant` holds."""
        self.exact.release(grant)

    # ---- taking and giving back

    def _all(self, claims: Sequence[Claim]) -> list[Lease]:
        """Return a lease for each claim; none if one of them is always asked for, and the others would be in vain."""
        leases = []
        for claim in claims:
            lease = self._leases.get(claim.bucket)
            if lease is None:
                if not is_worth_it(claim.rule) or len(self._leases) >= _LEASES_MAX:
                    return []
                lease = self._leases[claim.bucket] = Lease(claim.rule, self._hold)
            elif lease.rule is not claim.rule:
                lease.rule = claim.rule
            leases.append(lease)
        return leases

    def _without_what_is_at_hand(self, claims: Sequence[Claim], levels: list[int]) -> list[int]:
        """Return the levels without what was taken here and not let in yet: a client is not told of it."""
        now = self._monotonic()
        return [
            level if (lease := self._leases.get(claim.bucket)) is None else lease.heard(level, now)
            for claim, level in zip(claims, levels, strict=True)
        ]

    def _send(self, call: Call) -> None:
        try:
            self.exact.server.send(call)
        except LimiterUnavailable as error:
            call.fail(error)

    async def tend(self) -> None:
        """Give back what was not let in in time, and forget what is not used. Called four times in a lease."""
        now = self._monotonic()
        for bucket, lease in list(self._leases.items()):
            self._give_back(bucket, lease, now)
            if lease.is_idle(now):
                del self._leases[bucket]

    def _give_back(self, bucket: str, lease: Lease, now: float) -> None:
        for count, taken_at in lease.overdue(now):
            claim = Claim(bucket=bucket, policy="", rule=lease.rule)
            self._send(Call(*self.exact.moving(claim, b"give", count, taken_at)))

    async def beat(self) -> None:
        """See `ExactLimiter.beat`."""
        await self.exact.beat()

    async def close(self) -> None:
        """Give everything back, and wait until Redis knows."""
        await self.exact.settled()
        for bucket, lease in self._leases.items():
            self._give_back(bucket, lease, float("inf"))
        await self.exact.close()


class _Take(Call):
    """More requests for a lease."""

    __slots__ = ("_asked_at", "_lease")

    def __init__(
        self, exact: ExactLimiter, claim: Claim, lease: Lease, count: int, now: float
    ) -> None:
        super().__init__(*exact.moving(claim, b"take", count, 0))
        self._lease = lease
        self._asked_at = now

    def finish(self, reply: Any) -> None:
        """Take the answer."""
        try:
            count, taken_at, first, second = reply
            level = wire.level(self._lease.rule, first, second)
        except (TypeError, ValueError) as error:
            self.fail(LimiterUnavailable(f"Redis answers {reply!r:.100}: {error!r}"))
            return
        self._lease.took(count, level, second, asked_at=self._asked_at, taken_at=taken_at)

    def fail(self, error: LimiterUnavailable) -> None:  # noqa: ARG002 - as in `Call`
        """Go without."""
        self._lease.failed()
