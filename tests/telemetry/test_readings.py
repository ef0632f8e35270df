from __future__ import annotations

from typing import get_args

import pytest

from gateway.telemetry.families import FAMILIES, Merge
from gateway.telemetry.readings import WATCHED, Readings, counters_of, merge


def merged(name: str, *values: float) -> float:
    return merge({name: {(): value}} for value in values)[name][()]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_says_how_several_workers_make_one(family: object) -> None:
    assert getattr(family, "merge", None) in get_args(Merge)


def test_what_only_grows_is_summed() -> None:
    for family in WATCHED.values():
        assert family.kind != "counter" or family.merge == "sum", family.name


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("connections", (3, 4), 7),  # what each has
        ("access_log_dropped_total", (1, 0, 2), 3),
        ("store_up", (1, 0), 0),  # well only if it is for all
        ("config_generation", (7, 8), 8),
    ],
)
def test_readings_of_several_processes_become_one(
    name: str, values: tuple[float, ...], expected: float
) -> None:
    assert merged(name, *values) == expected


def test_an_upstream_is_up_only_if_every_worker_thinks_so_and_a_breaker_is_in_each_ones_state() -> (
    None
):
    one: Readings = {
        "upstream_up": {("a",): 1.0, ("b",): 1.0},
        "upstream_breaker_state": {("a", "open"): 0.0, ("a", "closed"): 1.0},
    }
    other: Readings = {
        "upstream_up": {("a",): 0.0},
        "upstream_breaker_state": {("a", "open"): 1.0, ("a", "closed"): 0.0},
    }
    assert merge([one, other]) == {
        "upstream_up": {("a",): 0.0, ("b",): 1.0},
        "upstream_breaker_state": {("a", "open"): 1.0, ("a", "closed"): 1.0},
    }
    assert one["upstream_up"] == {("a",): 1.0, ("b",): 1.0}


def test_what_this_version_does_not_know_is_left_out() -> None:
    assert merge([{"of_the_future": {(): 1.0}}]) == {}
    assert counters_of({"of_the_future": {(): 1.0}, "connections": {(): 1.0}}) == {}


def test_counters_are_told_from_gauges() -> None:
    told: Readings = {"connections": {(): 1.0}, "access_log_dropped_total": {(): 2.0}}
    assert counters_of(told) == {"access_log_dropped_total": {(): 2.0}}
