"""When results of probes turn a target up or down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.verdict import Verdict

COUNTS = st.integers(1, 5)
RESULTS = st.lists(st.booleans(), max_size=60)


def verdicts(results: list[bool], rise: int, fall: int) -> list[bool | None]:
    verdict = Verdict(rise=rise, fall=fall)
    seen: list[bool | None] = []
    for is_good in results:
        verdict.take(is_good)
        seen.append(verdict.is_up)
    return seen


def expected(results: list[bool], rise: int, fall: int) -> list[bool | None]:
    """Say the same by looking back at the whole past after each result."""
    seen: list[bool | None] = []
    is_up = False
    for end in range(1, len(results) + 1):
        past = results[:end]
        if True not in past[:-1]:
            is_up = past[-1]
        elif is_up and end >= fall and not any(past[-fall:]):
            is_up = False
        elif not is_up and end >= rise and all(past[-rise:]):
            is_up = True
        seen.append(is_up)
    return seen


@given(RESULTS, COUNTS, COUNTS)
def test_verdict_follows_the_last_results_only(results: list[bool], rise: int, fall: int) -> None:
    assert verdicts(results, rise, fall) == expected(results, rise, fall)


@given(RESULTS, COUNTS, COUNTS)
def test_change_is_told_exactly_when_the_verdict_is_another(
    results: list[bool], rise: int, fall: int
) -> None:
    verdict = Verdict(rise=rise, fall=fall)
    for is_good in results:
        before = verdict.is_up
        assert verdict.take(is_good) == (verdict.is_up is not before)


def test_nothing_is_said_before_the_first_probe() -> None:
    assert Verdict(rise=1, fall=1).is_up is None


def test_first_probe_decides_alone() -> None:
    assert verdicts([True], 3, 3) == [True]
    assert verdicts([False], 3, 3) == [False]


def test_target_that_was_never_up_needs_one_good_probe() -> None:
    assert verdicts([False, False, True], 3, 3) == [False, False, True]


def test_one_failure_is_forgiven_and_one_success_is_not_believed() -> None:
    assert verdicts([True, False, True, False, False], 2, 2) == [True, True, True, True, False]
    assert verdicts([True, False, True, False, True], 2, 1) == [True, False, False, False, False]


def test_failures_before_the_first_success_are_counted_within_bounds() -> None:
    verdict = Verdict(rise=1, fall=1)
    for _ in range(2000):
        verdict.take(False)
    assert verdict.failures_at_first == 1000
    assert not verdict.has_been_up
