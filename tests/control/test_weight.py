"""Which worker takes too much memory."""

from __future__ import annotations

import os

from gateway.control.weight import LOOK_SECONDS, YOUTH_SECONDS, Scales, resident_bytes

OLD = YOUTH_SECONDS
WEIGHTS = {1: 100, 2: 300, 3: 200}


def scales() -> Scales:
    return Scales(lambda pid: WEIGHTS[pid])


def test_the_heaviest_of_those_who_have_too_much_is_found() -> None:
    ages = [(1, OLD), (2, OLD), (3, OLD)]
    assert scales().heaviest(ages, 150, 10.0) == (2, 300)
    assert scales().heaviest(ages, 300, 10.0) is None
    assert scales().heaviest([], 0, 10.0) is None


def test_nobody_is_too_heavy_without_a_limit() -> None:
    assert scales().heaviest([(2, OLD)], None, 10.0) is None


def test_who_is_young_is_left_alone() -> None:
    """A limit below what a worker needs would otherwise replace all of them without end."""
    assert scales().heaviest([(1, OLD), (2, OLD - 1)], 50, 10.0) == (1, 100)


def test_processes_are_weighed_no_more_often_than_needed() -> None:
    found = scales()
    assert found.heaviest([(2, OLD)], 50, 10.0) is not None
    assert found.heaviest([(2, OLD)], 50, 10.0 + LOOK_SECONDS / 2) is None
    assert found.heaviest([(2, OLD)], 50, 10.0 + LOOK_SECONDS) is not None


def test_a_process_is_weighed_and_one_that_is_gone_weighs_nothing() -> None:
    assert resident_bytes(os.getpid()) > 10_000_000
    assert resident_bytes(2**30) == 0
