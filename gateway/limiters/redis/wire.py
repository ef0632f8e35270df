"""What the scripts are told of a claim, and what their numbers mean.

Knows how a rule is written in numbers that Redis can count with, and how a level is made of what it answers: exactly
the level of `domain.bucket` at the microsecond at which Redis looked. It must not know connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.domain.limits import Claim, Concurrency, Quota, Rate, Rule
from gateway.limiters.redis.calls import packed

MICROSECONDS: Final = 1_000_000
MOST_US: Final = 100 * 366 * 86_400 * MICROSECONDS
"""The longest debt: a century. Together with the time of day it stays below 2^53, up to which Redis' Lua can count."""

_UNIT: Final = 1_000
"""Units of `Rate` in one part of a microsecond: there a nanosecond pays for as many as the limit."""

_PERIODS: Final[Mapping[str, bytes]] = {"hour": b"h", "day": b"d", "month": b"m"}
_KNOWN_MAX: Final = 50_000
"""Claims that are remembered: 20 MB at most. To write one anew takes 3 us."""

_RULES_MAX: Final = 1_000


class Told:
    """What is written for a rule: its `arguments`, the kind first; `packed` is how they are sent."""

    __slots__ = ("arguments", "count", "packed", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.arguments = _arguments(rule)
        self.count = len(self.arguments)
        self.packed = packed(*self.arguments)


class Line:
    """What is written for one claim: its `key`, and what is `told` of its rule. `packed_key` is how it is sent."""

    __slots__ = ("key", "packed_key", "told")

    def __init__(self, claim: Claim, prefix: str, told: Told) -> None:
        self.told = told
        self.key = _key(claim.bucket, prefix, told.arguments[0])
        self.packed_key = packed(self.key)


class Wire:
    """Writes claims, and remembers how. `prefix` is what the keys of this installation begin with."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.probe = f"{prefix}:probe".encode()
        self._known: dict[str, Line] = {}
        self._rules: dict[int, Told] = {}

    def line(self, claim: Claim) -> Line:
        """Return what is written for `claim`."""
        line = self._known.get(claim.bucket)
        if line is None or line.told.rule is not claim.rule:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            line = self._known[claim.bucket] = Line(claim, self._prefix, self._told(claim.rule))
        return line

    def _told(self, rule: Rule) -> Told:
        """Return what is told of a rule, which many claims share."""
        told = self._rules.get(id(rule))
        if told is None or told.rule is not rule:
            if len(self._rules) >= _RULES_MAX:
                self._rules.clear()
            told = self._rules[id(rule)] = Told(rule)
        return told


def tag(bucket: str) -> str:
    """Return the owner of a bucket, `<owner kind>:<owner id>`: buckets of one owner lie in one place."""
    return bucket.rsplit(":", 2)[0]


def _key(bucket: str, prefix: str, kind: bytes) -> bytes:
    owner = tag(bucket)
    return f"{prefix}:{kind.decode()}:{{{owner}}}{bucket[len(owner) :]}".encode()


def _arguments(rule: Rule) -> tuple[bytes, ...]:
    if isinstance(rule, Rate):
        return b"r", *_rate(rule)
    if isinstance(rule, Quota):
        return b"q", _number(rule.limit), _PERIODS[rule.period]
    return b"c", _number(rule.limit)


def _rate(rule: Rate) -> tuple[bytes, ...]:
    window = rule.window_seconds * MICROSECONDS
    cost, cost_rest = divmod(window, rule.limit)
    most, most_rest = divmod(rule.burst * window, rule.limit)
    if most >= MOST_US:
        most, most_rest = MOST_US, 0
    text = b"%d %d %d" % (rule.limit, window, rule.burst)
    return text, *map(_number, (rule.limit, cost, cost_rest, most, most_rest))


def _number(value: int) -> bytes:
    return b"%d" % value


def level(rule: Rule, first: int, second: int) -> int:
    """Return the level of a bucket from the two numbers that tell of it; a debt is rounded up."""
    if not isinstance(rule, Rate):
        return first
    owed = _UNIT * (first * rule.limit + second)
    return -(-owed * rule.refill // rule.limit)


def levels(claims: Sequence[Claim], reply: Sequence[int]) -> list[int]:
    """Return the level of each claim from the answer of `acquire.lua`."""
    at = 2
    found = []
    for claim in claims:
        found.append(level(claim.rule, reply[at], reply[at + 1]))
        at += 2
    return found


def waits(claims: Sequence[Claim], reply: Sequence[int], found: Sequence[int]) -> list[int]:
    """Return the seconds after which each claim alone would admit a request, rounded up; 0 where it does now."""
    now = reply[1]
    return [
        wait_seconds(claim.rule, stands, ends, now)
        for claim, stands, ends in zip(claims, found, reply[3::2], strict=True)
    ]


def wait_seconds(rule: Rule, stands: int, ends: int, now: int) -> int:
    """Return the seconds until a bucket at level `stands` admits a request; `ends` (s) is the end of a quota's period,
    `now` (us) the time of Redis.
    """
    if isinstance(rule, Rate):
        return rule.wait_seconds(stands)
    if stands < rule.limit:
        return 0
    if isinstance(rule, Concurrency):
        return 1
    return -((now - ends * MICROSECONDS) // MICROSECONDS)


def wait_microseconds(rule: Rule, stands: int, ends: int, now: int) -> int:
    """Return the same in microseconds, rounded up; nobody knows it of requests in flight: 0."""
    if isinstance(rule, Rate):
        excess = stands + rule.price - rule.capacity
        return max(0, -(-excess // (rule.refill * _UNIT)))
    if isinstance(rule, Quota) and stands >= rule.limit:
        return max(0, ends * MICROSECONDS - now)
    return 0
