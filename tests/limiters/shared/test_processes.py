"""Limits are exact across real processes, and stay so when processes die or stop."""

from __future__ import annotations

import pytest

from tests.limiters.shared.hammer import SETS, WORKERS, hammer


def test_several_processes_admit_together_exactly_what_one_would() -> None:
    told = hammer("exact")
    limits = {each.bucket: each for claims in SETS for each in claims}
    for bucket, each in limits.items():
        drawn = sum(
            count for claims, count in zip(SETS, told["admitted"], strict=True) if each in claims
        )
        limit = getattr(each.rule, "burst", each.rule.limit)
        advertised = min(limit - drawn, each.rule.limit)
        assert drawn <= limit
        assert told["remaining"][bucket] == advertised, (
            "a refusal charges nothing, an admission one"
        )
    for claims in SETS:
        assert any(told["remaining"][each.bucket] == 0 for each in claims), "all was drawn"


def test_several_processes_keep_a_rate_in_real_time() -> None:
    """The bucket is not full at any time between, so that what was admitted is known from both sides."""
    told = hammer("real_time")
    assert told["admitted"] <= told["most"]
    assert told["admitted"] >= told["least"]


def test_a_concurrency_of_one_is_one_in_all_processes_together() -> None:
    told = hammer("one_at_a_time")
    assert told == {"met": 0, "held": 3000 * WORKERS, "free": True}


@pytest.mark.slow
def test_workers_killed_at_any_moment_leave_limits_that_hold_and_nothing_locked() -> None:
    told = hammer("kills")
    assert told["kills"] > 20
    assert told["admitted"] > 0
    for charged in (told["drawn"], told["counted"]):
        assert charged >= told["admitted"], "what was acknowledged is kept"
        assert charged <= told["admitted"] + told["kills"], "a death costs its own request at most"
    assert told["free"] == 2, "what the dead held is free again, and no more"


def test_a_stopped_worker_makes_others_wait_once_and_for_a_bounded_time() -> None:
    told = hammer("stopped")
    assert all(0 <= wait < 30 for wait in told["waits"])
    assert told["waits"][0] > 0.2, "the first waits for what is soon over"
    assert told["looked"]
    assert told["is_whole"]
    assert told["admitted"] == 4, "one of five was drawn before"
