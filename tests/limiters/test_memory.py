"""The limiter of one process: the contract, its bounds, and counts that outlive it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import Claim, Concurrency, Quota, Rate, Rule
from gateway.limiters.memory import MemoryLimiter
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


class TestMemoryLimiter(LimiterContract):
    """Keeps the contract."""

    @pytest.fixture
    def limiter(self, clock: FakeClock) -> MemoryLimiter:
        return MemoryLimiter(clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=HOUR)


def take(limiter: MemoryLimiter, times: int, *claims: Claim) -> int:
    return admitted([limiter.acquire(claims) for _ in range(times)])


RULES: list[Rule] = [
    Rate(name="minute", limit=7, window_seconds=60, burst=3),
    Rate(name="second", limit=2, window_seconds=1, burst=2),
    Quota(name="hour", limit=9, period="hour"),
    Concurrency(name="concurrency", limit=2),
]


def keeps(rule: Rule, times: list[Fraction]) -> bool:
    """Say whether admissions at `times` are what `rule` allows."""
    if isinstance(rule, Quota):
        hours = [time // 3600 for time in times]
        return all(hours.count(hour) <= rule.limit for hour in hours)
    if isinstance(rule, Rate):
        speed = Fraction(rule.limit, rule.window_seconds)
        return all(
            count <= rule.burst + speed * (until - since)
            for first, since in enumerate(times)
            for count, until in enumerate(times[first:], 1)
        )
    return True


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(RULES), min_size=1, max_size=4, unique=True),
            st.integers(0, 2**13),
            st.booleans(),
        ),
        max_size=50,
    )
)
def test_no_mix_of_claims_breaks_a_limit_or_tells_an_untrue_wait(
    requests: list[tuple[list[Rule], int, bool]],
) -> None:
    """Times are multiples of 1/64 second, which a float holds exactly."""
    clock = FakeClock(now=HOUR)
    limiter = MemoryLimiter(clock)
    taken: dict[str, list[Fraction]] = {rule.name: [] for rule in RULES}
    running = 0
    for rules, sixty_fourths, ends in requests:
        clock.advance(sixty_fourths / 64)
        grant = limiter.acquire([claim(rule) for rule in rules])
        if grant.refused is not None:
            clock.advance(grant.retry_after_seconds)
            rules = [rule for rule in rules if not isinstance(rule, Concurrency)]
            grant = limiter.acquire([claim(rule) for rule in rules])
            assert grant.refused is None
        for rule in rules:
            taken[rule.name].append(Fraction(clock.now()))
        running += len(grant.held)
        assert running <= 2
        if ends:
            running -= len(grant.held)
            limiter.release(grant)
    assert all(keeps(rule, taken[rule.name]) for rule in RULES)


def test_full_buckets_make_room_without_loss(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock, buckets_max=10)
    for number in range(1000):
        assert take(limiter, 1, claim(rate(limit=60, burst=1), f"lineage:{number}")) == 1
        clock.advance(1)
    assert len(limiter) == 10
    assert limiter.forgotten_early == 0


def test_the_map_stays_bounded_when_every_bucket_is_in_use(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock, buckets_max=10)
    for number in range(100):
        take(limiter, 1, claim(rate(), f"lineage:{number}"))
    assert len(limiter) == 10
    assert limiter.forgotten_early == 90


def test_the_least_used_bucket_makes_room(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock, buckets_max=3)
    busy, quiet, counted = claim(rate()), claim(rate(), "lineage:b"), claim(quota())
    take(limiter, 5, busy)
    take(limiter, 1, quiet)
    take(limiter, 4, counted)
    take(limiter, 1, claim(rate(), "lineage:c"))
    assert take(limiter, 9, busy) == 0
    assert take(limiter, 9, counted) == 1


def test_requests_in_flight_are_never_forgotten(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock, buckets_max=1)
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
    limiter = MemoryLimiter(clock, buckets_max=1)
    minute, hour = claim(rate(burst=1)), claim(quota(1))
    assert limiter.acquire([minute, hour]).refused is None
    refused = limiter.acquire([hour, minute, claim(quota(1), "tenant:b"), hour])
    assert refused.refused is not None
    assert len(limiter) == 1


def test_buckets_that_are_full_again_do_not_pile_up(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    busy = claim(quota(3), "lineage:busy")
    take(limiter, 2, busy)
    for n in range(20_000):
        take(limiter, 1, claim(rate(), f"lineage:{n}"))
        clock.advance(0.1)
    assert len(limiter) < 5_000
    assert limiter.forgotten_early == 0
    assert take(limiter, 9, busy) == 1


def test_counts_outlive_the_process(clock: FakeClock) -> None:
    old = MemoryLimiter(clock)
    take(old, 3, claim(quota(5)), claim(rate()))
    new = MemoryLimiter(clock)
    new.import_counts(old.export_counts())
    assert take(new, 9, claim(quota(5))) == 2


def test_only_counters_that_changed_are_exported(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    mine, theirs = claim(quota()), claim(quota(), "lineage:b")
    take(limiter, 2, mine)
    take(limiter, 1, theirs)
    assert limiter.export_counts() == {mine.bucket: (int(HOUR), 2), theirs.bucket: (int(HOUR), 1)}
    assert limiter.export_counts() == {}
    take(limiter, 1, theirs)
    assert limiter.export_counts() == {theirs.bucket: (int(HOUR), 2)}
    clock.advance(3600)
    take(limiter, 1, theirs)
    assert limiter.export_counts() == {theirs.bucket: (int(HOUR) + 3600, 1)}


def test_a_refused_request_is_not_in_the_exported_counts(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    hour, minute = claim(quota()), claim(rate(burst=1))
    take(limiter, 2, hour, minute)
    assert limiter.export_counts() == {hour.bucket: (int(HOUR), 1)}


def test_counts_that_were_pushed_out_are_still_exported(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock, buckets_max=1)
    hour = claim(quota())
    take(limiter, 1, hour)
    take(limiter, 1, claim(rate()))
    assert limiter.export_counts() == {hour.bucket: (int(HOUR), 1)}


def test_imported_counts_never_lower_and_ended_periods_are_ignored(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    hour, later = claim(quota(5)), claim(quota(5), "lineage:b")
    take(limiter, 2, hour)
    limiter.import_counts({hour.bucket: (int(HOUR), 4), later.bucket: (int(HOUR) - 3600, 5)})
    limiter.import_counts({hour.bucket: (int(HOUR), 1)})
    assert take(limiter, 9, hour) == 1
    assert take(limiter, 9, later) == 5


def test_a_rule_of_another_kind_starts_anew(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    named = Concurrency(name="minute", limit=1)
    grant = limiter.acquire([claim(named)])
    assert take(limiter, 9, claim(rate(burst=2))) == 2
    limiter.release(grant)
    assert take(limiter, 9, claim(named)) == 1


def test_an_equal_rule_after_a_reload_changes_nothing(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    assert sum(take(limiter, 1, claim(rate(burst=5)), claim(quota(9))) for _ in range(9)) == 5


def test_a_look_draws_nothing() -> None:
    limiter = MemoryLimiter(FakeClock())
    rule = Rate(name="minute", limit=10, window_seconds=60, burst=10)
    claims = (Claim(bucket="lineage:looked:p:minute", policy="p/minute", rule=rule),)
    assert [standing.remaining for standing in limiter.look(claims).standings] == [10]
    assert len(limiter) == 0
    limiter.acquire(claims)
    assert [standing.remaining for standing in limiter.look(claims).standings] == [9]
    assert [standing.remaining for standing in limiter.look(claims).standings] == [9]


def test_a_look_sees_what_was_saved_and_what_was_left_under_another_rule(clock: FakeClock) -> None:
    limiter = MemoryLimiter(clock)
    saved, lesser = claim(quota(5)), claim(rate(burst=2))
    limiter.import_counts({saved.bucket: (int(HOUR), 3)})
    assert limiter.look((saved,)).standings[0].remaining == 2
    limiter.acquire((claim(rate(burst=5)),))
    before = limiter.look((lesser,)).levels
    assert limiter.look((lesser,)).levels == before
    assert limiter.acquire((lesser,)).levels == tuple(level + lesser.rule.price for level in before)  # type: ignore[union-attr]
