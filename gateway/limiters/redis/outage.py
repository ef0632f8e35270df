"""What becomes of requests while Redis does not answer: a share of each limit is counted here, or nobody is let in.

Knows how a limit is cut to a share, and what was let in meanwhile, so that it can be charged afterwards. It must not
know Redis. A share is never all, and never more than the limit: nothing is let in that nobody counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate, Rule
from gateway.ports import Clock, Limiter, LimiterUnavailable

_REMEMBERED_MAX: Final = 10_000
"""Buckets that are charged afterwards at most, and rules that are remembered."""


class Policy(NamedTuple):
    """`share` is the part of each limit that is let in, 0 for none at all."""

    share: float


class Owed(NamedTuple):
    """Requests that were let in without Redis: `number` of them, the last one at `at` (epoch seconds)."""

    claim: Claim
    number: int
    at: float


class Outage:
    """Decides in place of Redis, with the buckets of `local`. `policy` is asked each time."""

    def __init__(self, local: Limiter, clock: Clock, policy: Callable[[], Policy]) -> None:
        self._local = local
        self._clock = clock
        self._policy = policy
        self._share = 0.0
        self._rules: dict[Rule, Rule] = {}
        self._owed: dict[str, Owed] = {}
        self._holding: dict[str, int] = {}
        self.admitted = 0
        """Requests that were let in here, all in all."""

    def acquire(self, claims: Sequence[Claim], why: str) -> Grant:
        """Draw on a share of every claim. Raises `LimiterUnavailable`, with `why` Redis was not asked."""
        share = self._policy().share
        if share <= 0.0:
            raise LimiterUnavailable(why)
        grant = self._local.acquire(self._cut(claims, share))
        if not isinstance(grant, Grant):
            raise LimiterUnavailable(why)
        grant.is_degraded = True
        if grant.refused is None:
            self.admitted += 1
            self._note(claims, grant.held)
        return grant

    def release(self, bucket: str) -> bool:
        """Give back a request in flight that was counted here; False when there is none."""
        count = self._holding.get(bucket, 0)
        if not count:
            return False
        if count == 1:
            del self._holding[bucket]
        else:
            self._holding[bucket] = count - 1
        self._local.release(Grant((), held=(bucket,)))
        return True

    def owed(self) -> list[Owed]:
        """Return what was let in and has to be charged; of a rate, only what time has not paid for meanwhile."""
        found = []
        for owed in self._owed.values():
            number = min(owed.number, self._unpaid(owed))
            if number:
                found.append(owed._replace(number=number))
        return found

    def settled(self) -> None:
        """Forget what was let in: it has been charged."""
        self._owed.clear()

    def _note(self, claims: Sequence[Claim], held: tuple[str, ...]) -> None:
        now = self._clock.now()
        for claim in claims:
            if isinstance(claim.rule, Concurrency):
                continue
            before = self._owed.get(claim.bucket)
            if before is not None:
                self._owed[claim.bucket] = Owed(claim, before.number + 1, now)
            elif len(self._owed) < _REMEMBERED_MAX:
                self._owed[claim.bucket] = Owed(claim, 1, now)
        for bucket in held:
            self._holding[bucket] = self._holding.get(bucket, 0) + 1

    def _unpaid(self, owed: Owed) -> int:
        """Return for how many requests the bucket here still owes; what was counted when nobody can tell."""
        if not isinstance(owed.claim.rule, Rate):
            return owed.number
        cut = self._cut((owed.claim,), self._share)
        stands = self._local.look(cut)
        rule = cut[0].rule
        if stands is None or not isinstance(rule, Rate):
            return owed.number
        return -(-stands.levels[0] // rule.price)

    def _cut(self, claims: Sequence[Claim], share: float) -> tuple[Claim, ...]:
        if share != self._share:
            self._share = share
            self._rules.clear()
        return tuple(
            Claim(bucket=claim.bucket, policy=claim.policy, rule=self._rule(claim.rule))
            for claim in claims
        )

    def _rule(self, rule: Rule) -> Rule:
        found = self._rules.get(rule)
        if found is None:
            if len(self._rules) >= _REMEMBERED_MAX:
                self._rules.clear()
            found = self._rules[rule] = cut(rule, self._share)
        return found


def cut(rule: Rule, share: float) -> Rule:
    """Return a rule that lets in that share of `rule`, rounded down, and at least one request."""

    def part(number: int) -> int:
        return max(1, int(number * share))

    if isinstance(rule, Rate):
        return Rate(
            name=rule.name,
            limit=part(rule.limit),
            window_seconds=rule.window_seconds,
            burst=part(rule.burst),
        )
    if isinstance(rule, Quota):
        return Quota(name=rule.name, limit=part(rule.limit), period=rule.period)
    return Concurrency(name=rule.name, limit=part(rule.limit))
