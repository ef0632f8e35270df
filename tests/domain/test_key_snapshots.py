"""How long a snapshot may be believed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.key_snapshots import Moment, Stamp, doubt, elapsed

HERE = Moment(at=1000.0, uptime=500.0, boot="b1")


def a_stamp(moment: Moment = HERE, **changes: Any) -> Stamp:
    values: dict[str, Any] = {"number": 1, "length": 0, "chain": "", "revision": 7}
    return Stamp(moment=moment, **(values | changes))


def later(seconds: float, *, clock: float | None = None, boot: str = "b1") -> Moment:
    return Moment(1000.0 + (seconds if clock is None else clock), 500.0 + seconds, boot)


def test_within_a_boot_no_clock_that_can_be_set_takes_part() -> None:
    assert elapsed(HERE, later(10, clock=-86_400)) == 10
    assert elapsed(HERE, later(10, clock=30, boot="b2")) == 30
    unknown = Moment(1000.0, 500.0, "")
    assert elapsed(unknown, Moment(1030.0, 510.0, "")) == 30


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (later(59), ""),
        (later(60), "it is 60 s old, and may be 60 s (on_failure.keys)"),
        (later(3600, clock=59, boot="b2"), ""),
        (later(1, clock=61, boot="b2"), "it is 61 s old"),
        (later(1, clock=-61, boot="b2"), "it is 61 s ahead of the clock"),
        (later(1, clock=-59, boot="b2"), ""),
    ],
)
def test_a_snapshot_is_believed_while_it_is_young(now: Moment, why: str) -> None:
    assert doubt(a_stamp(), now, 60.0).startswith(why)
    assert bool(doubt(a_stamp(), now, 60.0)) is bool(why)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (later(8.9), ""),
        (later(9), "the lease under which it was written ended 0.0 s ago"),
        (later(1, boot="b2"), "it was written under a lease before this machine was started"),
        (later(1, boot=""), "it was written under a lease before this machine was started"),
    ],
)
def test_under_a_lease_it_is_worth_what_is_left_of_it_on_that_boot_alone(
    now: Moment, why: str
) -> None:
    stamp = a_stamp(until=509.0)
    assert doubt(stamp, now, 3600.0).startswith(why)
    assert bool(doubt(stamp, now, 3600.0)) is bool(why)


def test_a_lease_makes_nothing_younger() -> None:
    assert "may be 5 s" in doubt(a_stamp(until=509.0), later(5), 5.0)


def test_denying_believes_nothing() -> None:
    assert doubt(a_stamp(), HERE, 0.0)
