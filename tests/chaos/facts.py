"""What a scene showed, worked out of what clients and operators wrote down, and which promises it breaks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.clients import Ask, Kind
from tests.chaos.operators import Change, Journal


@dataclass(frozen=True, slots=True)
class Times:
    """When it broke, when that was over, and when all was well again, if it was; monotonic seconds."""

    broken: float
    mended: float
    healthy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What may be admitted beyond a quota and beyond a rate."""

    quota: int = 0
    rate: int = 0


@dataclass
class Facts:
    """What was seen. `lost` names what was acknowledged and is gone; `unlogged` and `uncounted` are requests."""

    times: Times
    asks: Sequence[Ask]
    changes: Sequence[Change]
    over_quota: int
    over_rate: int
    lost: list[str] = field(default_factory=list)
    unlogged: int = 0
    uncounted: int = 0
    growth_bytes: int = 0

    @property
    def healthy_after(self) -> float | None:
        """Return the seconds from the end of the fault until the last sign of it."""
        healthy = self.times.healthy
        return None if healthy is None else max(0.0, healthy - self.times.mended)

    def during(self, kinds: Collection[Kind]) -> list[Ask]:
        """Return the requests of some kinds that ended after it broke."""
        return [ask for ask in self.asks if ask.kind in kinds and ask.ended >= self.times.broken]

    @property
    def wrong(self) -> list[Ask]:
        """Return requests that were let in with a key that is unknown or revoked."""
        return [
            ask
            for ask in self.asks
            if ask.kind in (Kind.UNKNOWN, Kind.REVOKED) and ask.status == 200
        ]

    def broken(
        self, bounds: Bounds, unharmed: Collection[Kind], *, may_lose: str, may_miss: str
    ) -> list[str]:
        """Name each promise that does not hold: but for what is documented to be lost, or missed in the records."""
        said = [f"let in: {ask}" for ask in self.wrong[:5]]
        said += [f"lost: {each}" for each in self.lost[:5] if not may_lose]
        if (self.unlogged or self.uncounted) and not may_miss:
            said.append(
                f"{self.unlogged} answers not in the log, {self.uncounted} lines not in usage"
            )
        if self.over_quota > bounds.quota:
            said.append(f"{self.over_quota} beyond a quota, at most {bounds.quota}")
        if self.over_rate > bounds.rate:
            said.append(f"{self.over_rate} beyond a rate, at most {bounds.rate}")
        if self.times.healthy is None:
            said.append("it did not become healthy in time")
        harmed = [ask for ask in self.during(unharmed) if not ask.is_well]
        if harmed:
            said.append(f"{len(harmed)} requests were to notice nothing: {harmed[:3]}")
        return said


def facts_of(
    asks: Iterable[Ask], journal: Journal, times: Times, quota: int, rate: Callable[[float], float]
) -> Facts:
    """Work out the facts. `quota` and `rate(seconds)` are what the limits let in."""
    meant = [ask for ask in asks if not is_ended(ask, journal)]
    admitted = {
        kind: [ask for ask in meant if ask.kind is kind and ask.status == 200]
        for kind in (Kind.QUOTA, Kind.RATE)
    }
    return Facts(
        times,
        meant,
        journal.changes,
        over_quota=max(0, len(admitted[Kind.QUOTA]) - quota),
        over_rate=excess(admitted[Kind.RATE], rate),
    )


def is_ended(ask: Ask, journal: Journal) -> bool:
    """Tell whether somebody had begun to revoke or suspend the key of a request before that ended."""
    began = journal.ending.get(ask.key_id)
    return ask.kind is Kind.FRESH and began is not None and began <= ask.ended


def excess(admitted: Sequence[Ask], allowed: Callable[[float], float]) -> int:
    """Return by how much the worst of all intervals exceeds what is allowed in it.

    An interval lasts from when its first request was sent to when its last one was answered, so it is never shorter
    than the one in which the requests were counted.
    """
    times = sorted((ask.began, ask.ended) for ask in admitted)
    worst = 0.0
    for first, (began, _) in enumerate(times):
        for number, (_, ended) in enumerate(times[first:], start=1):
            worst = max(worst, number - allowed(ended - began))
    return int(worst)


def last_sign(
    asks: Iterable[Ask], changes: Sequence[Change], mended: float, gateways: int
) -> float | None:
    """Return when the last request of those that ended after `mended` was not well, or the first change was.

    None while a gateway has not taken a change since then.
    """
    signs = [mended]
    for gateway in range(gateways):
        done = [
            change.ended
            for change in changes
            if change.gateway == gateway and change.began >= mended and change.is_acknowledged
        ]
        if not done:
            return None
        signs.append(min(done))
    signs += [ask.ended for ask in asks if ask.ended > mended and not ask.is_well]
    return max(signs)


def is_calm(asks: Sequence[Ask], since: float, gateways: int) -> bool:
    """Tell whether every client whose keys last was answered well since then, and nobody otherwise.

    `asks` are in the order of their ends.
    """
    recent = asks[bisect_left(asks, since, key=lambda ask: ask.ended) :]
    answered = Counter((ask.kind, ask.gateway) for ask in recent)
    expected = [kind for kind in Kind if kind is not Kind.COLD]
    everybody = all(answered[kind, gateway] for kind in expected for gateway in range(gateways))
    return everybody and all(ask.is_well for ask in recent)
