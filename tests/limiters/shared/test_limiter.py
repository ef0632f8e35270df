"""One worker's view: the contract, the bounds, and the same answers as the limiter of one process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    rule,
)

from gateway.domain.limits import Claim, Concurrency, Grant, Quota, Rate, Rule
from gateway.limiters.memory import MemoryLimiter
from gateway.limiters.shared.limiter import SharedLimiter
from gateway.limiters.shared.segment import Segment
from gateway.limiters.shared.supervision import Supervision
from gateway.ports import LimiterUnavailable
from tests.clock import FakeClock
from tests.contracts.limiter import (
    HOUR,
    LimiterContract,
    admitted,
    claim,
    concurrency,
    quota,
    rate,
)
from tests.limiters.shared.segments import held_by_nobody_who_runs
from tests.limiters.shared.segments import limiter as opened
from tests.limiters.shared.segments import segment as made


class TestSharedLimiter(LimiterContract):
    """Keeps the contract."""

    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Iterator[SharedLimiter]:
        with opened(clock) as limiter:
            yield limiter


class TestSharedLimiterOfManyStripes(LimiterContract):
    """Keeps the contract when a request takes several locks."""

    @pytest.fixture
    def limiter(self, clock: FakeClock) -> Iterator[SharedLimiter]:
        with opened(clock, buckets_max=10_000) as limiter:
            yield limiter


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=HOUR)


def take(limiter: SharedLimiter, times: int, *claims: Claim) -> int:
    return admitted([limiter.acquire(claims) for _ in range(times)])


def test_full_buckets_make_room_without_loss(clock: FakeClock) -> None:
    with opened(clock, buckets_max=10) as limiter:
        for number in range(1000):
            assert take(limiter, 1, claim(rate(limit=60, burst=1), f"lineage:{number}")) == 1
            clock.advance(1)
        assert len(limiter) == 10
        assert limiter.forgotten_early == 0


def test_the_table_stays_bounded_when_every_bucket_is_in_use(clock: FakeClock) -> None:
    with opened(clock, buckets_max=10) as limiter:
        for number in range(100):
            take(limiter, 1, claim(rate(), f"lineage:{number}"))
        assert len(limiter) == 10
        assert limiter.forgotten_early == 90


def test_the_least_used_bucket_makes_room(clock: FakeClock) -> None:
    with opened(clock, buckets_max=3) as limiter:
        busy, quiet, counted = claim(rate()), claim(rate(), "lineage:b"), claim(quota())
        take(limiter, 5, busy)
        take(limiter, 1, quiet)
        take(limiter, 4, counted)
        take(limiter, 1, claim(rate(), "lineage:c"))
        assert take(limiter, 9, busy) == 0
        assert take(limiter, 9, counted) == 1


def test_requests_in_flight_are_never_forgotten(clock: FakeClock) -> None:
    with opened(clock, buckets_max=1) as limiter:
        first, second = claim(concurrency(1)), claim(concurrency(1), "lineage:b")
        grants = [limiter.acquire([first]), limiter.acquire([second])]
        assert take(limiter, 1, first) + take(limiter, 1, second) == 0
        for grant in grants:
            limiter.release(grant)
        assert take(limiter, 1, claim(rate())) == 1
        assert len(limiter) == 2


def test_a_request_that_pushes_out_its_own_bucket_still_charges_all_or_nothing(
    clock: FakeClock,
) -> None:
    with opened(clock, buckets_max=1) as limiter:
        minute, hour = claim(rate(burst=1)), claim(quota(1))
        assert limiter.acquire([minute, hour]).refused is None
        refused = limiter.acquire([hour, minute, claim(quota(1), "tenant:b"), hour])
        assert refused.refused is not None


def test_when_requests_in_flight_hold_every_slot_the_next_one_is_told_so(clock: FakeClock) -> None:
    with opened(clock, buckets_max=1) as limiter:
        spent = claim(rate(burst=1))
        grants = [limiter.acquire([claim(concurrency(), f"lineage:{n}")]) for n in range(65)]
        assert admitted(grants) == len(limiter) == 65
        with pytest.raises(LimiterUnavailable, match="no room for another bucket"):
            limiter.acquire([spent])
        limiter.release(grants.pop())
        assert take(limiter, 1, spent) == 1


def test_a_worker_that_holds_as_much_as_it_can_note_is_refused_and_nothing_is_charged(
    clock: FakeClock,
) -> None:
    with opened(clock, holdings_max=2) as limiter:
        minute, many = claim(rate(burst=3)), claim(concurrency(9))
        grants = [limiter.acquire([minute, many]) for _ in range(2)]
        with pytest.raises(LimiterUnavailable, match="2 concurrency claims"):
            limiter.acquire([minute, many])
        limiter.release(grants[0])
        assert take(limiter, 1, minute, many) == 1
        assert take(limiter, 1, minute) == 0


def test_a_rule_of_another_kind_starts_anew(clock: FakeClock) -> None:
    with opened(clock) as limiter:
        named = Concurrency(name="minute", limit=1)
        grant = limiter.acquire([claim(named)])
        assert take(limiter, 9, claim(rate(burst=2))) == 2
        limiter.release(grant)
        assert take(limiter, 9, claim(named)) == 1


def test_a_grant_of_nobody_knows_whom_is_ignored(clock: FakeClock) -> None:
    with opened(clock) as limiter:
        limiter.release(Grant((), held=("lineage:a:pro:concurrency",)))
        assert take(limiter, 9, claim(concurrency(2))) == 2


def test_a_look_draws_nothing(clock: FakeClock) -> None:
    with opened(clock) as limiter:
        claims = (claim(rate(limit=10, burst=10)),)
        seen = limiter.look(claims)
        assert seen is not None
        assert [standing.remaining for standing in seen.standings] == [10]
        assert len(limiter) == 0
        limiter.acquire(claims)
        for _ in range(2):
            seen = limiter.look(claims)
            assert seen is not None
            assert [standing.remaining for standing in seen.standings] == [9]


def test_large_numbers_stay_exact(clock: FakeClock) -> None:
    """The end of a debt does not fit in one word: 10^12 a second, a day's worth at once."""
    huge = Rate(name="day", limit=10**12, window_seconds=86_400, burst=10**12)
    with opened(clock) as limiter:
        clock.advance(10**7)
        memory = MemoryLimiter(clock)
        for step in (0.0, 0.0, 1e-9, 5.0, 86_400.0, 0.5):
            clock.advance(step)
            for _ in range(3):
                mine, theirs = limiter.acquire([claim(huge)]), memory.acquire([claim(huge)])
                assert mine.standings[0].remaining == theirs.standings[0].remaining
                assert mine.standings[0].reset_seconds == theirs.standings[0].reset_seconds


def test_more_buckets_than_a_worker_remembers_places_of_count_just_as_well(
    clock: FakeClock,
) -> None:
    with opened(clock, buckets_max=200_000) as limiter:
        limiter._table.bucket("lineage:first:pro:minute", rate(burst=1))
        once = rate(burst=1)
        names = [f"lineage:{number}" for number in range(40_000)]
        assert sum(take(limiter, 1, claim(once, name)) for name in names) == 40_000
        assert sum(take(limiter, 1, claim(once, name)) for name in names[::97]) == 0
        assert len(limiter) == 40_000
        assert limiter.forgotten_early == 0


def test_the_clock_is_read_under_the_locks_that_a_request_needs() -> None:
    """A reading that waited for a lock would be a step back for the bucket, and a second refill."""
    with made() as segment:
        inner = FakeClock(now=HOUR)

        class Watching(FakeClock):
            def monotonic(self) -> float:
                with pytest.raises(LimiterUnavailable):
                    segment.mutexes.lock((segment.mutex(0),))
                return inner.monotonic()

        limiter = SharedLimiter(segment, Watching(now=HOUR), 0)
        assert take(limiter, 2, claim(rate(burst=1))) == 1
        segment.mutexes.lock((segment.mutex(0),))
        segment.mutexes.release((segment.mutex(0),))


def test_what_could_not_be_given_back_in_time_is_given_back_with_the_next(clock: FakeClock) -> None:
    with made() as segment:
        limiter, at_once = SharedLimiter(segment, clock, 0), claim(concurrency(2))
        first, second = limiter.acquire([at_once]), limiter.acquire([at_once])
        with held_by_nobody_who_runs(segment):
            limiter.release(first)
            assert limiter.look([at_once]) is None
            with pytest.raises(LimiterUnavailable, match="does not run"):
                limiter.acquire([at_once])
        limiter.release(first)
        assert take(limiter, 1, at_once) == 1, "given back with the next that is released"
        limiter.release(second)
        assert take(limiter, 9, at_once) == 1


# ---- beside the limiter of one process

RULES: list[Rule] = [
    Rate(name="minute", limit=7, window_seconds=60, burst=3),
    Rate(name="minute", limit=70, window_seconds=60, burst=9),
    Rate(name="second", limit=2, window_seconds=1, burst=2),
    Quota(name="hourly", limit=9, period="hour"),
    Quota(name="hourly", limit=5, period="hour"),
    Quota(name="daily", limit=12, period="day"),
    Concurrency(name="concurrency", limit=2),
    Concurrency(name="concurrency", limit=4),
]


def tell(grant: Grant) -> object:
    return (
        grant.refused,
        grant.retry_after_seconds,
        [(s.claim, s.remaining, s.reset_seconds) for s in grant.standings],
        grant.measured_at,
    )


class Beside(RuleBasedStateMachine):
    """Two workers on one segment answer together as one `MemoryLimiter` would."""

    grants = Bundle("grants")

    @initialize(buckets_max=st.sampled_from([1000, 5000]))
    def begin(self, buckets_max: int) -> None:
        self.clock = FakeClock(now=HOUR)
        self.memory = MemoryLimiter(self.clock)
        self.context = made(buckets_max=buckets_max)
        self.segment = self.context.__enter__()
        second = Segment.attach(os.dup(self.segment.descriptor))
        self.segments = [self.segment, second]
        self.workers = [
            SharedLimiter(self.segment, self.clock, 0),
            SharedLimiter(second, self.clock, 1),
        ]
        self.supervision = Supervision(self.segment)
        self.is_open = True

    @rule(
        target=grants,
        worker=st.integers(0, 1),
        owner=st.sampled_from(["lineage:a", "lineage:b", "tenant:a"]),
        rules=st.lists(st.sampled_from(RULES), max_size=4, unique_by=lambda each: each.name),
    )
    def acquire(self, worker: int, owner: str, rules: list[Rule]) -> tuple[int, Grant, Grant]:
        claims = [claim(each, owner) for each in rules]
        mine, theirs = self.workers[worker].acquire(claims), self.memory.acquire(claims)
        assert mine.held == theirs.held
        assert tell(mine) == tell(theirs)
        return worker, mine, theirs

    @rule(pair=consumes(grants))
    def release(self, pair: tuple[int, Grant, Grant]) -> None:
        worker, mine, theirs = pair
        self.workers[worker].release(mine)
        self.memory.release(theirs)

    @rule(sixty_fourths=st.integers(0, 2**19))
    def advance(self, sixty_fourths: int) -> None:
        self.clock.advance(sixty_fourths / 64)

    @rule(seconds=st.sampled_from([-0.5, -7200.0]))
    def step_back(self, seconds: float) -> None:
        self.clock.wall += seconds

    @rule()
    def save(self) -> None:
        assert self.supervision.export_counts() == self.memory.export_counts()

    @precondition(lambda self: hasattr(self, "workers"))
    @rule(worker=st.integers(0, 1), each=st.sampled_from(RULES))
    def look(self, worker: int, each: Rule) -> None:
        before = self.memory.acquire([]).measured_at
        seen = self.workers[worker].look([claim(each, "lineage:never")])
        assert seen is not None
        assert seen.measured_at == before

    def teardown(self) -> None:
        if hasattr(self, "is_open"):
            self.segments[1].close()
            self.context.__exit__(None, None, None)


Beside.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBesideTheLimiterOfOneProcess = Beside.TestCase


@given(
    st.lists(st.tuples(st.sampled_from(RULES), st.integers(0, 1), st.integers(0, 64)), max_size=60)
)
@settings(max_examples=60, deadline=None)
def test_two_generations_of_rules_side_by_side_never_refill(
    draws: list[tuple[Rule, int, int]],
) -> None:
    """Workers reload one after the other: for a moment each adapts the bucket to its own rule."""
    clock = FakeClock(now=HOUR)
    rates = [each for each in RULES if each.name == "minute" and isinstance(each, Rate)]
    with made() as segment:
        workers = [SharedLimiter(segment, clock, 0), SharedLimiter(segment, clock, 1)]
        admissions = 0
        for _, worker, sixty_fourths in draws:
            clock.advance(sixty_fourths / 64)
            admissions += take(workers[worker], 1, claim(rates[worker]))
        elapsed = sum(sixty_fourths for *_, sixty_fourths in draws) / 64
        assert admissions <= 9 + elapsed * 70 / 60
