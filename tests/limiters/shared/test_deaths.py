"""A worker that dies after any store leaves limits that hold: every single store is tried.

`Dying` stands between a worker and the memory and ends it before its n-th store. The locks are given back then, as the
kernel does it; nothing else of the worker runs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.limits import Claim, Grant, Rate, Rule
from gateway.limiters.shared.buckets import FREE, KIND, NAME_HIGH, NAME_LOW, NEXT
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import SLOT_WORDS, Segment
from gateway.limiters.shared.supervision import Supervision
from tests.clock import FakeClock
from tests.contracts.limiter import HOUR, admitted, claim, concurrency, quota, rate
from tests.limiters.shared.segments import segment as made


class Died(BaseException):
    """The worker is dead."""


class Dying:
    """The words of a segment, of which only so many more can be written."""

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words
        self.stores_left = 10**9

    def __getitem__(self, place: Any) -> Any:
        return self._words[place]

    def __setitem__(self, place: int, value: int) -> None:
        if not self.stores_left:
            raise Died
        self.stores_left -= 1
        self._words[place] = value


class Victim:
    """A worker that can die; `live` is how it comes back under its number."""

    def __init__(self, segment: Segment, clock: FakeClock) -> None:
        self.segment = Segment.attach(os.dup(segment.descriptor))
        self.words = self.segment.words
        self.dying = Dying(self.words)
        self.segment.words = cast("memoryview[int]", self.dying)
        self._clock = clock
        self._supervision = Supervision(segment)
        self.limiter = self.live()

    def live(self) -> SharedLimiter:
        assert self._supervision.release_all(1)
        self.dying.stores_left = 10**9
        self.limiter = SharedLimiter(self.segment, self._clock, 1)
        return self.limiter

    def dies_at(self, stores: int, act: Callable[[SharedLimiter], object]) -> bool:
        """Act; tell whether the victim died before the act was done."""
        self.dying.stores_left = stores
        try:
            act(self.limiter)
        except Died:
            return True
        finally:
            self.dying.stores_left = 10**9
        return False

    def close(self) -> None:
        self.segment.words = self.words
        self.segment.close()


@contextmanager
def world(buckets_max: int = 1000) -> Iterator[tuple[Segment, FakeClock, SharedLimiter, Victim]]:
    clock = FakeClock(now=HOUR)
    with made(buckets_max=buckets_max) as segment:
        victim = Victim(segment, clock)
        yield segment, clock, SharedLimiter(segment, clock, 0), victim
        victim.close()


def take(limiter: SharedLimiter, times: int, *claims: Claim) -> int:
    return admitted([limiter.acquire(claims) for _ in range(times)])


def check_chains(segment: Segment) -> None:
    """Each chain ends, no slot is in two places, no name is there twice, nothing that is free is found."""
    layout, words = segment.layout, segment.words
    seen: set[int] = set()
    names: set[tuple[int, int]] = set()
    for head in range(layout.first_head, layout.first_head + layout.stripes * layout.heads):
        at = words[head]
        while at:
            assert at not in seen
            assert words[at + KIND] != FREE
            seen.add(at)
            names.add((words[at + NAME_LOW], words[at + NAME_HIGH]))
            at = words[at + NEXT]
    assert len(names) == len(seen)
    assert all((at - layout.first_slot) % SLOT_WORDS == 0 for at in seen)


MINUTE: Final = claim(rate(limit=60, burst=5))
LARGER: Final = claim(rate(limit=6000, burst=50))
CROSSING: Final = claim(Rate(name="minute", limit=1000, window_seconds=60, burst=1000))
NEW: Final = claim(rate(burst=3), "lineage:c")
HOURLY: Final = claim(quota(5))
DAILY: Final = claim(quota(5), "tenant:a")
AT_ONCE: Final = claim(concurrency(5))
SPENT: Final = claim(quota(1), "route:spent")

Prepare = Callable[[SharedLimiter, FakeClock], object]
Act = Callable[[SharedLimiter], object]


def nothing(limiter: SharedLimiter, clock: FakeClock) -> None:
    """All buckets are new."""


def begun(limiter: SharedLimiter, clock: FakeClock) -> None:
    limiter.acquire((MINUTE, HOURLY, DAILY))
    grant = limiter.acquire((AT_ONCE,))
    limiter.release(grant)


def turned(limiter: SharedLimiter, clock: FakeClock) -> None:
    begun(limiter, clock)
    clock.advance(3600 * 24 * 40)


def used_up(limiter: SharedLimiter, clock: FakeClock) -> None:
    limiter.acquire((SPENT,))


def draw(limiter: SharedLimiter) -> object:
    return limiter.acquire((MINUTE, HOURLY, DAILY, AT_ONCE))


def refuse(limiter: SharedLimiter) -> object:
    return limiter.acquire((MINUTE, HOURLY, DAILY, AT_ONCE, SPENT))


def draw_and_release(limiter: SharedLimiter) -> object:
    grant = limiter.acquire((AT_ONCE, MINUTE))
    limiter.release(grant)
    return grant


@pytest.mark.parametrize("prepare", [nothing, begun, turned, used_up])
@pytest.mark.parametrize("act", [draw, refuse, draw_and_release])
def test_a_death_at_any_store_costs_one_request_at_most(prepare: Prepare, act: Act) -> None:
    for stores in range(1000):
        with world() as (segment, clock, alive, victim):
            prepare(alive, clock)
            before = {
                each.bucket: 1 if prepare is begun and each is not AT_ONCE else 0
                for each in (MINUTE, HOURLY, DAILY, AT_ONCE)
            }
            has_died = victim.dies_at(stores, act)
            check_chains(segment)
            victim.live()
            for each in (MINUTE, HOURLY, DAILY):
                left = take(alive, 9, each)
                assert 4 - before[each.bucket] <= left <= 5 - before[each.bucket]
            assert take(alive, 9, AT_ONCE) == 5, "what the dead held is free"
            check_chains(segment)
        if not has_died:
            return
    pytest.fail("the act never ends")


@pytest.mark.parametrize(("old", "new"), [(MINUTE, LARGER), (LARGER, MINUTE)], ids=["up", "down"])
def test_a_death_while_a_rule_is_adapted_is_no_refill(old: Claim, new: Claim) -> None:
    """Whoever still has the old rule must not read a debt in the units of the new one."""
    died = 0
    for stores in range(1000):
        with world() as (segment, _, alive, victim):
            assert take(alive, 99, old) > 3
            has_died = victim.dies_at(stores, lambda limiter: limiter.acquire((new,)))
            assert take(alive, 99, old) == take(alive, 99, new) == take(alive, 99, old) == 0
            check_chains(segment)
        if not has_died:
            break
        died += 1
    assert died > 5


def test_a_death_while_a_quota_changes_its_period_is_no_refill() -> None:
    hour = claim(quota(5))
    day = Claim(
        bucket=hour.bucket,
        policy=hour.policy,
        rule=type(quota())(name="hour", limit=5, period="day"),
    )
    for stores in range(1000):
        with world() as (_, clock, alive, victim):
            assert take(alive, 3, hour) == 3
            clock.advance(60)
            has_died = victim.dies_at(stores, lambda limiter: limiter.acquire((day,)))
            assert 1 <= take(alive, 9, day) <= 2
        if not has_died:
            return
    pytest.fail("the act never ends")


def test_a_death_between_the_two_words_of_a_debt_admits_nothing_more() -> None:
    """The debt's end crosses a multiple of 2^62 with this draw, in both directions."""
    for stores in range(100):
        with world() as (_, clock, alive, victim):
            clock.mono = 4_611_685.8184  # the debt of the fourth draw ends behind 2^62
            drawn = take(alive, 3, CROSSING)
            has_died = victim.dies_at(
                stores, lambda limiter: limiter.acquire((CROSSING, SPENT, SPENT))
            )
            assert take(alive, 2000, CROSSING) <= 1000 - drawn
        if not has_died:
            return
    pytest.fail("the act never ends")


def test_a_death_while_room_is_made_keeps_every_bucket_in_one_place() -> None:
    died = 0
    for stores in range(1000):
        with world(buckets_max=2) as (segment, clock, alive, victim):
            first, second = claim(rate(burst=2)), claim(rate(burst=4), "lineage:b")
            assert take(alive, 2, first) == 2
            assert take(alive, 1, second) == 1
            has_died = victim.dies_at(stores, lambda limiter: limiter.acquire((NEW,)))
            check_chains(segment)
            assert take(alive, 9, first) == 0, "the busier one stays"
            assert take(alive, 9, second) + take(victim.live(), 9, second) <= 4
            assert 2 <= take(alive, 9, NEW) <= 3
            check_chains(segment)
            for number in range(9):
                take(alive, 1, claim(rate(), f"lineage:{number}"))
            check_chains(segment)
            clock.advance(3600)
            assert take(alive, 9, NEW) == 3
        if not has_died:
            break
        died += 1
    assert died > 10


def test_a_death_at_any_store_of_a_look_changes_nothing() -> None:
    for stores in range(100):
        with world() as (_, _, alive, victim):
            assert take(alive, 3, MINUTE) == 3
            victim.dies_at(stores, lambda limiter: limiter.look((MINUTE, HOURLY)))
            assert take(alive, 9, MINUTE) == 2


RULES: Final[list[Rule]] = [rate(burst=6), quota(8), concurrency(3)]


class Story:
    """Two workers, one of which dies again and again, and what they were granted."""

    def __init__(self, segment: Segment, alive: SharedLimiter, victim: Victim) -> None:
        self.segment, self.alive, self.victim = segment, alive, victim
        self.admissions: Counter[str] = Counter()
        self.running: Counter[str] = Counter()

    def live_on(self, claims: Sequence[Claim], *, keeps: bool) -> None:
        """The survivor asks, and keeps what it holds or gives it back."""
        grant = self.alive.acquire(claims)
        self._note(grant, claims)
        if keeps:
            self.running.update(grant.held)
        else:
            self.alive.release(grant)

    def die(self, claims: Sequence[Claim], stores: int) -> None:
        """The victim asks and gives back, and dies on the way or not."""

        def act(limiter: SharedLimiter) -> None:
            grant = limiter.acquire(claims)
            self._note(grant, claims)
            limiter.release(grant)

        if self.victim.dies_at(stores, act):
            self.victim.live()
        check_chains(self.segment)

    def _note(self, grant: Grant, claims: Sequence[Claim]) -> None:
        if grant.refused is None:
            self.admissions.update(each.bucket for each in claims)


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(RULES), min_size=1, max_size=3, unique=True),
            st.sampled_from(["lineage:a", "lineage:b"]),
            st.integers(0, 40),
            st.sampled_from([Story.live_on, Story.die]),
            st.booleans(),
        ),
        max_size=25,
    ),
    st.sampled_from([2, 1000]),
)
@settings(max_examples=80, deadline=None)
def test_any_number_of_deaths_at_any_store_admits_no_more_than_the_limits(
    acts: list[tuple[list[Rule], str, int, object, bool]], buckets_max: int
) -> None:
    with world(buckets_max) as (segment, _, alive, victim):
        story = Story(segment, alive, victim)
        for rules, owner, stores, act, keeps in acts:
            claims = [claim(each, owner) for each in rules]
            if act is Story.die:
                story.die(claims, stores)
            else:
                story.live_on(claims, keeps=keeps)
        for owner in ("lineage:a", "lineage:b"):
            minute, hour, at_once = (claim(each, owner) for each in RULES)
            if buckets_max > 2:  # else full use of some pushes out others, and is counted as such
                assert story.admissions[minute.bucket] + take(alive, 9, minute) <= 6
                assert story.admissions[hour.bucket] + take(alive, 9, hour) <= 8
            assert story.running[at_once.bucket] + take(alive, 9, at_once) == 3
