"""What limits a request: rates, quotas, concurrency, and the claims that a request makes on them.

Knows the rules as values, and how each reads a *level*: the one integer that a limiter keeps per
bucket (a debt, a count). The arithmetic that moves a level is in `bucket`. It must not know where
levels are kept: that is a `Limiter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, gcd
from operator import attrgetter
from typing import Final, Literal

from gateway.domain.periods import Period, period_bounds

NANOSECONDS: Final = 1_000_000_000
"""Per second. Rates are counted in whole nanoseconds, so that no rounding adds up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A token bucket that refills evenly.

    It admits at most `burst + limit / window_seconds * t` requests in any interval of `t` seconds.
    `name` labels it in headers and metrics (`minute`); `limit` tokens are refilled evenly over
    `window_seconds`. All three numbers are at least 1.

    Its level is the debt in units of `1 / price` requests, 0 when the bucket is full: a request
    adds `price` units, each nanosecond pays `refill` of them back, and `capacity` is the most that
    can be owed. All are integers, so refill is exact; they are the smallest that are, because
    arithmetic is dear beyond a machine word: of 300 per minute, `refill` is 1.
    """

    name: str
    limit: int
    window_seconds: int
    burst: int
    refill: int = field(init=False, repr=False, compare=False)
    price: int = field(init=False, repr=False, compare=False)
    capacity: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        window = self.window_seconds * NANOSECONDS
        common = gcd(window, self.limit)
        price = window // common
        object.__setattr__(self, "refill", self.limit // common)
        object.__setattr__(self, "price", price)
        object.__setattr__(self, "capacity", self.burst * price)

    def remaining(self, level: int) -> int:
        """Return the whole requests left, at most `limit`: a larger burst is not advertised."""
        left = self.burst + -level // self.price
        return left if left < self.limit else self.limit  # noqa: FURB136 - min() takes twice as long

    def reset_seconds(self, level: int, _now: float = 0.0) -> int:
        """Return the seconds until the bucket is full again, rounded up."""
        return -(-level // (self.refill * NANOSECONDS))

    def wait_seconds(self, level: int) -> int:
        """Return 0 if `level` admits a request, else the fewest whole seconds until it does."""
        excess = level + self.price - self.capacity
        return -(-excess // (self.refill * NANOSECONDS)) if excess > 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `limit` admissions in each calendar `period` (UTC). Its level counts them."""

    name: str
    limit: int
    period: Period

    def remaining(self, level: int) -> int:
        """Return the requests that are left in this period."""
        return self.limit - level if level < self.limit else 0

    def reset_seconds(self, _level: int, now: float) -> int:
        """Return the seconds until the period that contains `now` ends, rounded up."""
        return ceil(period_bounds(self.period, now)[1] - now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """At most `limit` requests at the same time. Its level is the number of requests in flight."""

    name: str
    limit: int

    def remaining(self, level: int) -> int:
        """Return how many more requests may run at the same time."""
        return self.limit - level if level < self.limit else 0


Rule = Rate | Quota | Concurrency


Owner = Literal["lineage", "tenant", "lineage_tenant", "route"]
"""Who has buckets of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A named set of rules.

    `owners` says for whom each rule counts: one bucket per lineage, per tenant, per lineage and
    tenant that it acts for, per route. A plan in shadow counts, and refuses nothing. Raises
    `ValueError` for two rules of one name, whatever their kind: they would share a bucket.
    """

    name: str
    rules: tuple[Rule, ...]
    owners: tuple[Owner, ...] = ("lineage",)
    is_shadow: bool = False

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"plan {self.name!r} has {names.count(name)} rules named {name!r}: "
                    "give each rule a name of its own"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One rule applied to one owner: the bucket that a request draws on.

    `bucket` identifies it in every backend: `<owner kind>:<owner id>:<plan>:<rule name>`. `policy`
    is `<plan>/<rule name>`, a bounded label. `owned_policy` is `<owner kind>:<policy>`, just as
    bounded: what is prepared once per policy and owner kind is kept under it.
    """

    bucket: str
    policy: str
    rule: Rule
    owned_policy: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "owned_policy", f"{self.owner}:{self.policy}")

    @property
    def owner(self) -> str:
        """The owner kind."""
        return self.bucket.partition(":")[0]


class Standing:
    """How one bucket stands after a request: what the rate-limit headers tell.

    `remaining` whole requests left; `reset_seconds` until it is full again (rate) or the period
    ends (quota), rounded up. For the bucket that refused, `reset_seconds` is the grant's
    `retry_after_seconds`, so that a refusal speaks with one number everywhere.
    """

    __slots__ = ("claim", "remaining", "reset_seconds")

    def __init__(self, claim: Claim, remaining: int, reset_seconds: int) -> None:
        self.claim = claim
        self.remaining = remaining
        self.reset_seconds = reset_seconds


_restriction = attrgetter("remaining")


def _stand(claims: Sequence[Claim], levels: Sequence[int], now: float) -> tuple[Standing, ...]:
    standings = [
        Standing(claim, rule.remaining(levels[index]), rule.reset_seconds(levels[index], now))
        for index, claim in enumerate(claims)
        if not isinstance(rule := claim.rule, Concurrency)
    ]
    if len(standings) > 1:
        standings.sort(key=_restriction)
    return tuple(standings)


class Grant:
    """The answer of a limiter to one request: all of its claims together.

    `refused` is the claim that said no (None when admitted; then every claim was charged, otherwise
    none was). `retry_after_seconds` is at least 1 when refused and large enough that a retry is
    admitted if nobody else draws meanwhile. `standings` has one entry per rate and quota claim,
    most restrictive first (fewest requests left); when refused, the first entry is the
    refusing claim's, whatever its kind. `held` are the concurrency buckets to release when the
    request ends. `measured_at` is the epoch second at which the standings were true (0 when
    unknown). `is_degraded` tells that whoever counts was away, and another one decided by a share of
    the limits.
    """

    __slots__ = (
        "_levels", "_standings", "_tightest", "held", "is_degraded", "measured_at", "refused",
        "retry_after_seconds",
    )  # fmt: skip

    def __init__(
        self,
        standings: tuple[Standing, ...],
        refused: Claim | None = None,
        retry_after_seconds: int = 0,
        held: tuple[str, ...] = (),
        measured_at: float = 0.0,
        levels: tuple[Sequence[Claim], Sequence[int]] | None = None,
    ) -> None:
        self._standings = standings
        self._levels = levels
        self._tightest = standings[0] if standings else None
        self.refused = refused
        self.retry_after_seconds = retry_after_seconds
        self.held = held
        self.measured_at = measured_at
        self.is_degraded = False

    @staticmethod
    def admit(
        claims: Sequence[Claim], levels: Sequence[int], held: tuple[str, ...], now: float
    ) -> Grant:
        """Make the grant of an admitted request from the level of each claim after the charge.

        The standings are worked out when somebody reads them: without rate-limit headers nobody
        does.
        """
        return Grant((), None, 0, held, now, (claims, levels))

    @staticmethod
    def refuse(
        claims: Sequence[Claim], levels: Sequence[int], waits: Sequence[int], now: float
    ) -> Grant:
        """Make the grant of a refused request.

        `levels` are those before the request (nothing was charged); `waits` the seconds after which
        each claim alone would admit it, 0 where it does now. The longest wait decides: it is the
        retry that all claims admit.
        """
        longest, index = -1, 0
        for n, wait in enumerate(waits):
            if wait > longest:
                longest, index = wait, n
        refused, retry_after = claims[index], longest if longest > 1 else 1  # noqa: FURB136 - max() is slower
        grant = Grant((), refused, retry_after, (), now, (claims, levels))
        grant._tightest = Standing(refused, 0, retry_after)
        return grant

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the request drew on, or would have, in the order in which it was asked: concurrency, too."""
        if self._levels is not None:
            return tuple(self._levels[0])
        return tuple(standing.claim for standing in self._standings)

    @property
    def levels(self) -> tuple[int, ...]:
        """Where the buckets of `claims` stand, in their order; empty when only standings are known."""
        return () if self._levels is None else tuple(self._levels[1])

    @property
    def tightest(self) -> Standing | None:
        """How the most restrictive rate or quota stands, without working out the others."""
        if self._tightest is None and self._levels is not None:
            self._tightest = self._find_tightest(*self._levels)
        return self._tightest

    def _find_tightest(self, claims: Sequence[Claim], levels: Sequence[int]) -> Standing | None:
        found: Claim | None = None
        least = at_level = index = 0
        for claim in claims:
            level = levels[index]
            index += 1  # noqa: SIM113 - enumerate() and zip() take longer for two or three claims
            if claim.rule.__class__ is not Concurrency:
                remaining = claim.rule.remaining(level)
                if found is None or remaining < least:
                    found, least, at_level = claim, remaining, level
        if found is None or isinstance(found.rule, Concurrency):
            return None
        return Standing(found, least, found.rule.reset_seconds(at_level, self.measured_at))

    @property
    def decided_by(self) -> str:
        """The policy that decided: the one that refused, else the most restrictive; may be empty."""
        # Usually the rate-limit headers have asked before: then the answer costs no second call.
        tightest = self._tightest or self.tightest
        return "" if tightest is None else tightest.claim.policy

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each rate and quota stands, most restrictive first; when refused, what refused before all others."""
        if self._levels is not None and not self._standings:
            self._standings = self._stand(*self._levels)
        return self._standings

    def _stand(self, claims: Sequence[Claim], levels: Sequence[int]) -> tuple[Standing, ...]:
        first = self._tightest
        if self.refused is None or first is None:
            return _stand(claims, levels, self.measured_at)
        others = [n for n, claim in enumerate(claims) if claim is not self.refused]
        return (
            first,
            *_stand([claims[n] for n in others], [levels[n] for n in others], self.measured_at),
        )
