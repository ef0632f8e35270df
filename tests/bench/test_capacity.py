"""The model of what a load needs adds up, and every constant in it says how it was measured."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.capacity import cost_table, main, report, shown
from bench.capacity_model import COSTS, Cost, Demand, ceilings, estimate
from tests.deploy.files import ROOT

SMALL = Demand()
LARGE = Demand(
    requests=20_000, keys=1_000_000, active_keys=100_000, tenants=50_000, gateways=4, workers=4,
    store="postgresql", limits="exact",
)  # fmt: skip


def amounts(demand: Demand) -> dict[str, float]:
    return {line.what: line.amount for line in estimate(demand)}


def used(demand: Demand) -> dict[str, float]:
    return {each.what: each.used for each in ceilings(demand)}


def test_cores_are_requests_times_what_one_takes() -> None:
    plain = Demand(
        requests=10_000, new_heads=0, refused=0, absent_keys=0, kilobytes=0, routes_per_key=0
    )
    assert amounts(plain)["gateways: CPU"] == pytest.approx(10_000 * COSTS["request"].value / 1e6)
    several = amounts(replace(plain, workers=2))["gateways: CPU"]
    assert several == pytest.approx(
        amounts(plain)["gateways: CPU"] * COSTS["several workers"].value
    )


def test_a_refusal_is_cheaper_than_a_request_and_a_new_head_dearer() -> None:
    usual = amounts(SMALL)["gateways: CPU"]
    assert amounts(replace(SMALL, refused=0.5))["gateways: CPU"] < usual
    assert amounts(replace(SMALL, new_heads=1.0))["gateways: CPU"] > usual
    assert amounts(replace(SMALL, compiled=True))["gateways: CPU"] < usual


def test_known_keys_cost_the_database_nothing() -> None:
    """Warm requests make no statement: only signs of life, looks and counters do, however many there are."""
    warm = replace(LARGE, absent_keys=0.0, changes_per_day=0.0)
    once = amounts(warm)["PostgreSQL: statements"]
    assert amounts(replace(warm, requests=10 * warm.requests))[
        "PostgreSQL: statements"
    ] == pytest.approx(once)
    more = amounts(replace(warm, gateways=8))["PostgreSQL: statements"] - once
    of_one = ("statements of another gateway", "statements of a gateway that serves")
    assert more == pytest.approx(4 * sum(COSTS[name].value for name in of_one))


def test_a_key_that_is_used_all_the_time_is_written_with_each_beat_of_usage() -> None:
    rows = "PostgreSQL: rows of usage"
    one = replace(LARGE, requests=1_000, active_keys=1, routes_per_key=1, gateways=1)
    assert amounts(one)[rows] == pytest.approx((2 + 2) / 0.75)  # counts, and who it was
    many = replace(one, requests=10**7, active_keys=10_000)
    assert amounts(many)[rows] == pytest.approx((2 * 10_000 + 2_000) / 0.75)
    rare = replace(one, requests=0.01, active_keys=1_000)
    assert amounts(rare)[rows] == pytest.approx((2 + 2) * 0.01, rel=0.01)


def test_more_active_keys_than_memory_has_room_for_are_looked_up() -> None:
    crowded = replace(SMALL, active_keys=200_000, cache_keys_max=100_000)
    assert amounts(crowded)["store: look-ups of keys"] == pytest.approx(SMALL.requests / 2)
    assert used(crowded)["keys in memory"] == 2.0


def test_redis_is_asked_once_per_admitted_request_or_for_many() -> None:
    calls = amounts(LARGE)["Redis: operations"]
    assert calls == pytest.approx(LARGE.requests * (1 - LARGE.refused))
    assert amounts(replace(LARGE, limits="leased"))["Redis: operations"] < 0.3 * calls
    assert "Redis: operations" not in amounts(SMALL)


def test_what_ends_first_is_told_first() -> None:
    ends = ceilings(replace(LARGE, requests=60_000))
    assert [each.used for each in ends] == sorted((each.used for each in ends), reverse=True)
    assert used(replace(LARGE, requests=60_000))["the core of Redis"] > 1
    assert used(replace(SMALL, changes_per_day=20_000_000))["changes in SQLite"] > 1
    in_time = "alerts on keys that end, in the minute of a lead time"
    assert used(replace(SMALL, keys=10_000_000))[in_time] < 0.1
    assert used(replace(SMALL, keys=10_000_000, key_days=1.0))[in_time] > 1


@given(
    requests=st.just(0.0) | st.floats(1e-3, 1e6), keys=st.integers(0, 10**7), active=st.integers(0, 10**6),
    gateways=st.integers(1, 100), workers=st.integers(1, 64),
    store=st.sampled_from(["sqlite", "postgresql"]),
    limits=st.sampled_from(["memory", "exact", "leased"]),
)  # fmt: skip
def test_more_of_anything_never_needs_less(
    requests: float, keys: int, active: int, gateways: int, workers: int, store: str, limits: str
) -> None:
    demand = Demand(
        requests=requests, keys=keys, active_keys=active, gateways=gateways, workers=workers,
        store=store, limits=limits,  # type: ignore[arg-type]
    )  # fmt: skip
    found = amounts(demand)
    assert all(amount >= 0 for amount in found.values())
    for more in (
        replace(demand, requests=2 * requests),
        replace(demand, keys=2 * keys),
        replace(demand, active_keys=2 * active),
        replace(demand, tenants=2 * demand.tenants),
    ):
        grown = amounts(more)
        assert all(
            grown[what] >= amount * (1 - 1e-9)
            for what, amount in found.items()
            if not what.endswith("last")  # what has room for so many hours has it for fewer
        )


# ---- where the constants come from


def test_each_constant_names_a_command_that_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {cost.measured_by for cost in COSTS.values()}
    assert {each.removeprefix("make ") for each in named} <= targets


class Watched(dict[str, Cost]):
    """Constants that remember which of them were asked for."""

    def __init__(self) -> None:
        super().__init__(COSTS)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Cost:
        self.seen.add(name)
        return super().__getitem__(name)


def test_every_constant_is_used_and_shown() -> None:
    costs, table = Watched(), cost_table()
    for demand in (SMALL, LARGE, replace(LARGE, limits="leased", compiled=True, requests=0.0)):
        estimate(demand, costs)
        ceilings(demand, costs)
    assert costs.seen == set(COSTS)
    assert [name for name in COSTS if f"| {name} |" not in table] == []


def test_numbers_are_shown_as_people_read_them() -> None:
    assert shown(1_010.0, "bytes") == "1.01 KB"
    assert shown(123_456_789_000.0, "bytes") == "123 GB"
    assert shown(12.0, "bytes") == "12 bytes"
    assert shown(1234.4, "per second") == "1,234 per second"
    assert shown(0.0566, "cores busy") == "0.0566 cores busy"


def test_the_command_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """The command of the page, with every kind of option."""
    words = "--requests 20000 --keys 1000000 --store postgresql --limits leased --compiled"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "| PostgreSQL: statements |" in printed
    assert "| what ends first |" in printed
    assert main(["--costs"]) == 0
    assert "make bench-capacity" in capsys.readouterr().out


def test_the_answer_is_a_table() -> None:
    lines = report(estimate(LARGE), ceilings(LARGE)).splitlines()
    assert {line.count("|") for line in lines if line} == {4}
