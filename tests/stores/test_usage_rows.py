"""What is remembered of dimensions tells them apart, and takes little memory."""

from __future__ import annotations

import tracemalloc

from gateway.domain.usage import Dimensions, Interval
from gateway.stores.usage_rows import KNOWN_MAX, KnownDimensions
from tests.usage_samples import a_cell

_KEYS = 2_000
BYTES_PER_KEY_MAX = 300
"""Measured 210; the texts of a key alone take more."""


def _dimensions(n: int, route: str = "jobs") -> Dimensions:
    return Dimensions(
        tenant_id=f"ten_{n:032d}",
        owner_id=f"ten_{n:032d}",
        key_id=f"key_{n:032d}",
        lineage_id=f"lin_{n:032d}",
        environment="live",
        is_billable=True,
        route=route,
    )


def test_what_is_remembered_keeps_no_text_of_a_key_in_memory() -> None:
    known = KnownDimensions()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for n in range(_KEYS):
            known.keep({_dimensions(n): (n + 1_000_000, 0)})
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken / _KEYS < BYTES_PER_KEY_MAX


def test_equal_dimensions_are_known_whoever_made_them_and_others_are_not() -> None:
    known = KnownDimensions()
    known.keep({_dimensions(n): (n, 0) for n in range(100)})
    cells = [a_cell(0, of=_dimensions(n)) for n in range(100)]
    assert not known.wanted(cells)
    assert [
        row[2]
        for row in known.rows(cells, {}, (-1, 0), (-1, 0))
        if row[0] == Interval.MINUTE.seconds
    ] == [*range(100)]
    assert known.wanted([a_cell(0, of=_dimensions(7, "offers")), a_cell(0, of=_dimensions(100))])


def test_a_later_day_is_looked_up() -> None:
    known, day = KnownDimensions(), Interval.DAY.seconds
    known.keep({_dimensions(1): (1, day)})
    assert not known.wanted([a_cell(day, of=_dimensions(1))])
    assert known.wanted([a_cell(2 * day, of=_dimensions(1))])


def test_more_than_are_remembered_begin_anew() -> None:
    known = KnownDimensions()
    known.keep({_dimensions(1): (1, 0)})
    known.keep({_dimensions(n): (n, 0) for n in range(2, KNOWN_MAX + 2)})
    assert known.wanted([a_cell(0, of=_dimensions(1))])
