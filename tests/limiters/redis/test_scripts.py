"""What runs in Redis counts as `domain.bucket` does: to the last unit, at every microsecond, for every rule."""

from __future__ import annotations

from fractions import Fraction
from itertools import count
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bench.leased_simulation import Bucket
from gateway.domain.bucket import REFUSED, PeriodCounter, TokenBucket
from gateway.domain.limits import Claim, Concurrency, Quota, Rate, Rule
from gateway.domain.periods import Period, period_bounds
from gateway.limiters.redis import scripts, wire
from gateway.limiters.redis.scripts import Script
from tests.redis_server import Server

START = 1_700_000_000_000_000
NANOSECONDS_PER_US = 1_000
real = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Scripted:
    """The scripts on a real Redis, with the time as an argument."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._client = server.client
        self._scripts = scripts.load()
        self._wire = wire.Wire(prefix)
        self._names = count()
        for script in (self._scripts.acquire, self._scripts.move):
            self._client.script_load(script.text)

    def claim(self, rule: Rule, name: str = "") -> Claim:
        """Return a claim on a bucket of its own."""
        owner = name or f"lineage:{next(self._names)}"
        return Claim(bucket=f"{owner}:pro:{rule.name}", policy=f"pro/{rule.name}", rule=rule)

    def key(self, claim: Claim) -> bytes:
        return self._wire.line(claim).key

    def acquire(self, now: int, *claims: Claim) -> list[int]:
        lines = [self._wire.line(claim) for claim in claims]
        arguments = [part for line in lines for part in line.told.arguments]
        keys = [line.key for line in lines]
        return self._run(self._scripts.acquire, keys, [now, "n:1", 30_000, *arguments])

    def move(self, now: int, claim: Claim, act: str, number: int, since: int = 0) -> list[int]:
        line = self._wire.line(claim)
        return self._run(
            self._scripts.move, [line.key], [now, act, number, since, *line.told.arguments]
        )

    def _run(self, script: Script, keys: list[bytes], arguments: list[Any]) -> list[int]:
        digest = script.by_digest.split()[-1].decode()
        found: list[int] = self._client.evalsha(digest, len(keys), *keys, *arguments)
        return found


@pytest.fixture
def scripted(redis: Server, prefix: str) -> Scripted:
    return Scripted(redis, prefix)


@st.composite
def rates(draw: st.DrawFn, most: int = 10**12) -> Rate:
    """Any rate that a configuration may hold; small ones often."""
    numbers = st.one_of(st.integers(1, 10), st.integers(1, 10_000), st.integers(1, most))
    rule = Rate(
        name="minute",
        limit=draw(numbers),
        window_seconds=draw(st.sampled_from([1, 60, 3600, 86400])),
        burst=draw(numbers),
    )
    assume(rule.burst * rule.window_seconds <= rule.limit * 100 * 366 * 86_400)
    return rule


@st.composite
def pauses(draw: st.DrawFn, rule: Rate) -> int:
    """Microseconds that matter to a rule: fractions and multiples of a request, and of all; sometimes back."""
    one = max(1, rule.window_seconds * 1_000_000 // rule.limit)
    whole = max(1, rule.burst * rule.window_seconds * 1_000_000 // rule.limit)
    return draw(
        st.one_of(
            st.integers(0, 3),
            st.integers(0, 3 * one),
            st.integers(0, whole + 1),
            st.integers(-min(whole, 10**9), 0),
        )
    )


def adopt(bucket: TokenBucket, rule: Rate, ticks: int) -> None:
    """Follow a rule as Redis does: what is left is rounded down to what a microsecond pays."""
    per_request = rule.window_seconds * 1_000_000
    left = Fraction(bucket.rule.capacity - bucket.level(ticks), bucket.rule.price)
    left = min(Fraction(floor(left * per_request), per_request), Fraction(rule.burst))
    bucket.rule = rule
    bucket.paid_at = ticks * rule.refill + rule.capacity - left * rule.price  # type: ignore[assignment]


@real
@given(data=st.data())
def test_a_rate_is_counted_as_in_memory_to_the_last_unit(
    scripted: Scripted, data: st.DataObject
) -> None:
    rule = data.draw(rates())
    each = scripted.claim(rule)
    bucket, now = TokenBucket(rule), START
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(pauses(rule))
        ticks = now * NANOSECONDS_PER_US
        reply = scripted.acquire(now, each)
        drawn = bucket.draw(ticks)
        assert reply[0] == (drawn != REFUSED)
        assert wire.levels([each], reply) == [bucket.level(ticks)]


@real
@pytest.mark.pure  # a debt is a fraction here
@given(data=st.data())
def test_a_rule_that_changed_is_followed_to_the_last_unit_and_never_refills(
    scripted: Scripted, data: st.DataObject
) -> None:
    rule = data.draw(rates())
    each = scripted.claim(rule)
    bucket, now = TokenBucket(rule), START
    is_there = False
    for _ in range(data.draw(st.integers(2, 15))):
        now += max(0, data.draw(pauses(rule)))
        ticks = now * NANOSECONDS_PER_US
        if data.draw(st.booleans()):
            before = bucket.rule
            rule = data.draw(rates())
            left = (before.capacity - bucket.level(ticks)) / before.price
            if is_there:
                adopt(bucket, rule, ticks)
                assert (rule.capacity - bucket.level(ticks)) / rule.price <= left * (1 + 1e-12)
            else:  # nobody drew on it yet: there is nothing to follow
                bucket = TokenBucket(rule)
            each = Claim(bucket=each.bucket, policy=each.policy, rule=rule)
        reply = scripted.acquire(now, each)
        drawn = bucket.draw(ticks)
        is_there = True
        assert reply[0] == (drawn != REFUSED)
        assert wire.levels([each], reply) == [ceil(bucket.level(ticks))]


@real
@given(data=st.data())
def test_what_is_taken_and_given_back_is_what_the_model_says(
    scripted: Scripted, data: st.DataObject
) -> None:
    """The model is that of the simulation, which proves the bound for it."""
    rule = data.draw(rates())
    each = scripted.claim(rule)
    bucket, now = Bucket(rule), START
    taken: list[tuple[int, int]] = []
    for _ in range(data.draw(st.integers(1, 20))):
        now += max(0, data.draw(pauses(rule)))
        number = data.draw(st.one_of(st.integers(1, 20), st.integers(1, rule.burst)))
        act = data.draw(st.sampled_from(["take", "give", "charge", "draw"]))
        if act == "draw":
            reply = scripted.acquire(now, each)
            assert reply[0] == bucket.draw(now)
        elif act == "take":
            reply = scripted.move(now, each, act, number)
            assert reply[0] == bucket.take(now, number)
            taken.append((reply[0], now))
        elif act == "charge":
            reply = scripted.move(now, each, act, number)
            bucket.charge(now, number)
        elif taken:
            most, since = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            back = data.draw(st.integers(0, most))
            reply = scripted.move(now, each, act, back, since)
            bucket.give(now, back, since)
        else:
            continue
        assert wire.level(rule, *reply[2:4]) == bucket.level(now)


@st.composite
def quotas(draw: st.DrawFn) -> Quota:
    periods: list[Period] = ["hour", "day", "month"]
    return Quota(name="q", limit=draw(st.integers(1, 5)), period=draw(st.sampled_from(periods)))


def nobody(_: PeriodCounter) -> None:
    """Nobody keeps counts here."""


@real
@given(data=st.data())
def test_a_quota_is_counted_as_in_memory(scripted: Scripted, data: st.DataObject) -> None:
    rule = data.draw(quotas())
    each = scripted.claim(rule)
    now = data.draw(st.integers(1_000_000_000, 4_000_000_000)) * 1_000_000
    counter = PeriodCounter(rule, each.bucket, now / 1_000_000, nobody)
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(
            st.one_of(
                st.integers(0, 10**9), st.integers(0, 40 * 86_400 * 10**6), st.integers(-(10**9), 0)
            )
        )
        reply = scripted.acquire(now, each)
        drawn = counter.draw(0, now / 1_000_000)
        assert reply[0] == (drawn != REFUSED)
        assert reply[2:] == [counter.count, counter.end]


@real
@given(second=st.integers(0, 7_258_118_399), period=st.sampled_from(["hour", "day", "month"]))
def test_periods_begin_and_end_as_everywhere(
    scripted: Scripted, second: int, period: Period
) -> None:
    each = scripted.claim(Quota(name="q", limit=5, period=period))
    reply = scripted.acquire(second * 1_000_000, each)
    assert reply == [1, second * 1_000_000, 1, period_bounds(period, second)[1]]


def test_the_last_second_of_each_month_is_in_it_and_the_next_is_not(scripted: Scripted) -> None:
    second = 0
    for _ in range(12 * 30):
        first, end = period_bounds("month", second)
        for at in (first, end - 1):
            each = scripted.claim(Quota(name="q", limit=5, period="month"))
            assert scripted.acquire(at * 1_000_000, each)[3] == end
        second = end


def test_what_is_taken_of_a_quota_never_exceeds_it_nor_its_period(scripted: Scripted) -> None:
    each = scripted.claim(Quota(name="q", limit=100, period="hour"))
    hour = 1_699_999_200_000_000
    assert scripted.move(hour, each, "take", 50)[:1] == [12]  # an eighth
    assert scripted.move(hour, each, "take", 5)[0] == 5
    assert scripted.move(hour + 5, each, "give", 4, hour)[2] == 13
    assert scripted.move(hour + 6, each, "charge", 200, hour)[2] == 213
    assert scripted.move(hour + 7, each, "take", 5)[0] == 0
    later = hour + 3_600_000_000
    assert scripted.move(later, each, "give", 4, hour)[0] == 0
    assert scripted.move(later, each, "charge", 4, hour)[2] == 0
    assert scripted.move(later, each, "take", 5)[2] == 5


def test_a_value_that_is_not_ours_leaves_nothing_to_draw_on(
    scripted: Scripted, redis: Server
) -> None:
    each = scripted.claim(Rate(name="minute", limit=60, window_seconds=60, burst=5))
    redis.client.set(scripted.key(each), "what?")
    assert scripted.acquire(START, each)[0] == 0
    assert scripted.acquire(START + 1_000_000, each)[0] == 1


def test_a_refused_request_leaves_all_buckets_as_they_were(
    scripted: Scripted, redis: Server
) -> None:
    claims = [
        scripted.claim(Rate(name="minute", limit=60, window_seconds=60, burst=5)),
        scripted.claim(Concurrency(name="concurrency", limit=2)),
        scripted.claim(Quota(name="q", limit=1, period="hour")),
    ]
    assert scripted.acquire(START, *claims)[0] == 1
    before = [redis.client.dump(scripted.key(each)) for each in claims]
    assert scripted.acquire(START + 5, *claims)[0] == 0
    assert [redis.client.dump(scripted.key(each)) for each in claims] == before


def test_the_buckets_of_one_owner_lie_in_one_place_of_a_cluster(scripted: Scripted) -> None:
    tags = {
        scripted.key(scripted.claim(rule, "lineage:k{}1")).split(b"{", 1)[1].partition(b"}")[0]
        for rule in (
            Rate(name="minute", limit=60, window_seconds=60, burst=5),
            Quota(name="monthly", limit=1, period="month"),
            Concurrency(name="concurrency", limit=2),
        )
    }
    assert len(tags) == 1
