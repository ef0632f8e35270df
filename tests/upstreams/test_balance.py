"""Ways of choosing: fair, steady, and never one that was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.upstreams.balance import (
    TURNS_MAX,
    HashRing,
    LeastOutstanding,
    Picker,
    RoundRobin,
    TwoChoices,
    turns,
)


@dataclass(eq=False)
class Fake:
    label: str
    outstanding: int = 0


def fakes(count: int) -> list[Fake]:
    return [Fake(f"10.0.0.{n}:80") for n in range(count)]


def two_choices(targets: Sequence[Fake], weights: Sequence[float]) -> TwoChoices[Fake]:
    return TwoChoices(targets, weights, Random(1).random)


Make = Callable[[Sequence[Fake], Sequence[float]], Picker[Fake]]
KINDS: dict[str, Make] = {
    "round_robin": RoundRobin,
    "least_outstanding": LeastOutstanding,
    "two_choices": two_choices,
    "hash": HashRing,
}
every_kind = pytest.mark.parametrize("kind", KINDS)
WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=12)


def affinities(count: int) -> list[bytes]:
    return [b"lin_%d" % n for n in range(count)]


def shares(picker: Picker[Fake], targets: Sequence[Fake], count: int = 20_000) -> list[float]:
    picked = Counter(picker.pick(affinity).label for affinity in affinities(count))
    return [picked[target.label] / count for target in targets]


# ---- whatever the way


@every_kind
def test_idle_targets_are_picked_by_weight(kind: str) -> None:
    targets, weights = fakes(3), [1.0, 2.0, 5.0]
    found = shares(KINDS[kind](targets, weights), targets)
    for share, weight in zip(found, weights, strict=True):
        assert share == pytest.approx(weight / 8, rel=0.25)


@every_kind
@settings(deadline=None)
@given(count=st.integers(1, 8), tried=st.sets(st.integers(0, 7)))
def test_another_one_is_never_one_that_was_tried(kind: str, count: int, tried: set[int]) -> None:
    targets = fakes(count)
    picker = KINDS[kind](targets, [1.0] * count)
    labels = {targets[n].label for n in tried if n < count}
    for affinity in affinities(5):
        other = picker.pick_other(affinity, labels)
        if len(labels) == count:
            assert other is None
        else:
            assert other is not None
            assert other.label not in labels


@every_kind
def test_only_target_is_always_picked(kind: str) -> None:
    targets = fakes(1)
    picker = KINDS[kind](targets, [7.0])
    assert {picker.pick(affinity) for affinity in affinities(20)} == set(targets)


# ---- turns


@settings(deadline=None)
@given(WEIGHTS)
def test_each_has_turns_in_proportion_to_its_weight(weights: list[int]) -> None:
    cycle = turns(weights)
    assert len(cycle) <= TURNS_MAX + len(weights)
    counted = Counter(cycle)
    for index, weight in enumerate(weights):
        fair = len(cycle) * weight / sum(weights)
        assert abs(counted[index] - fair) <= max(1.0, 0.02 * len(cycle))


@settings(deadline=None)
@given(WEIGHTS)
def test_no_stretch_of_turns_favours_anybody(weights: list[int]) -> None:
    cycle = turns(weights)
    counted = Counter(cycle)
    seen: Counter[int] = Counter()
    for position, index in enumerate(cycle, 1):
        seen[index] += 1
        fair = position * counted[index] / len(cycle)
        assert abs(seen[index] - fair) <= 1 + len(weights) * counted[index] / len(cycle)


def test_equal_weights_take_strict_turns() -> None:
    assert turns([3, 3, 3]) == [0, 1, 2]
    assert turns([5, 1, 1]).count(0) == 5


def test_fractions_of_a_weight_count() -> None:
    assert Counter(turns([1, 0.1])) == {0: 10, 1: 1}


def test_new_picker_does_not_always_begin_with_the_same_target() -> None:
    targets = fakes(3)
    assert {RoundRobin(targets, [1, 1, 1], turn).pick(b"") for turn in range(3)} == set(targets)


# ---- least outstanding


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50)), min_size=1, max_size=8))
def test_least_outstanding_picks_nobody_who_has_more_than_another(
    given_targets: list[tuple[int, int]],
) -> None:
    targets = [Fake(str(n), open_) for n, (_, open_) in enumerate(given_targets)]
    weights = [float(weight) for weight, _ in given_targets]
    picker = LeastOutstanding(targets, weights)
    loads = {t.label: t.outstanding / w for t, w in zip(targets, weights, strict=True)}
    for _ in range(5):
        assert loads[picker.pick(b"").label] == min(loads.values())


def test_least_outstanding_passes_over_a_slow_target() -> None:
    targets = fakes(3)
    picker = LeastOutstanding(targets, [1, 1, 1])
    targets[0].outstanding = 50
    for _ in range(60):
        picker.pick(b"").outstanding += 1
    assert [target.outstanding for target in targets] == [50, 30, 30]


# ---- two choices


def test_two_choices_keep_loads_close_together() -> None:
    targets = fakes(20)
    picker = two_choices(targets, [1.0] * 20)
    for _ in range(2000):
        picker.pick(b"").outstanding += 1
    counts = [target.outstanding for target in targets]
    assert max(counts) - min(counts) <= 12


def test_two_choices_hardly_ever_pick_the_most_loaded() -> None:
    targets = fakes(2)
    targets[0].outstanding = 100
    picked = Counter(two_choices(targets, [1, 1]).pick(b"").label for _ in range(1000))
    assert picked[targets[0].label] < 200


# ---- hash


def test_same_affinity_goes_to_the_same_target_whatever_the_order() -> None:
    targets = fakes(5)
    one, other = HashRing(targets, [1] * 5), HashRing(targets[::-1], [1] * 5)
    for affinity in affinities(300):
        assert one.pick(affinity) is one.pick(affinity) is other.pick(affinity)


@settings(deadline=None)
@given(st.integers(2, 12), st.data())
def test_target_that_leaves_moves_only_its_own_callers(count: int, data: st.DataObject) -> None:
    targets = fakes(count)
    gone = data.draw(st.integers(0, count - 1))
    before = HashRing(targets, [1] * count)
    after = HashRing(targets[:gone] + targets[gone + 1 :], [1] * (count - 1))
    for affinity in affinities(200):
        if before.pick(affinity) is not targets[gone]:
            assert after.pick(affinity) is before.pick(affinity)
        else:  # where a retry would have gone as well
            assert after.pick(affinity) is before.pick_other(affinity, {targets[gone].label})


def test_ring_of_many_heavy_targets_stays_small() -> None:
    ring = HashRing(fakes(50), [100.0] * 50)
    assert len(ring._points) <= 66_000


def test_busy_target_is_passed_over_when_load_is_bounded() -> None:
    targets = fakes(4)
    bounded, free = HashRing(targets, [1] * 4, load_max=1.25), HashRing(targets, [1] * 4)
    home = free.pick(b"busy")
    for _ in range(100):
        bounded.pick(b"busy").outstanding += 1
    assert home.outstanding == max(target.outstanding for target in targets)
    assert home.outstanding <= 1.25 * 101 / 4 + 1
    assert sum(target.outstanding for target in targets) == 100


def test_idle_target_is_never_passed_over() -> None:
    targets = fakes(4)
    bounded, free = HashRing(targets, [1] * 4, load_max=1.0), HashRing(targets, [1] * 4)
    for affinity in affinities(100):
        assert bounded.pick(affinity) is free.pick(affinity)
