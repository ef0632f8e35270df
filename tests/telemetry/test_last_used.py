from __future__ import annotations

import pytest

from gateway.domain.denial import Reason
from gateway.telemetry.last_used import LastUsed
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_key, make_outcome


def test_a_drain_tells_each_key_once_with_its_latest_use() -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0))
    for key_id, moment in (("key_a", 10.0), ("key_b", 11.0), ("key_a", 12.0), ("key_a", 9.0)):
        last_used.record(make_outcome(key=make_key(key_id), started=moment))
    assert last_used.drain() == {"key_a": 12.0, "key_b": 11.0}
    assert last_used.drain() == {}


def test_a_request_without_a_key_uses_none() -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0))
    last_used.record(make_outcome())
    assert last_used.drain() == {}


@pytest.mark.parametrize(
    "reason",
    [Reason.KEY_REVOKED, Reason.KEY_EXPIRED, Reason.KEY_SUSPENDED, Reason.AUTH_THROTTLED],
)
def test_a_refused_key_was_not_used(reason: Reason) -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0))
    last_used.record(make_outcome(key=make_key(), reason=reason))
    assert last_used.drain() == {}


def test_a_key_that_reached_its_limit_was_used() -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0))
    last_used.record(make_outcome(key=make_key(), reason=Reason.RATE_LIMITED, started=5.0))
    assert last_used.drain() == {"key_1": 5.0}


def test_what_could_not_be_stored_comes_back_without_going_back_in_time() -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0))
    last_used.record(make_outcome(key=make_key("key_a"), started=20.0))
    last_used.restore({"key_a": 10.0, "key_b": 10.0})
    assert last_used.drain() == {"key_a": 20.0, "key_b": 10.0}


def test_memory_is_bounded_and_known_keys_go_on() -> None:
    last_used = LastUsed(FakeClock(now=0.0, monotonic=0.0), keys_max=2)
    for number in range(5):
        last_used.record(make_outcome(key=make_key(f"key_{number}"), started=1.0))
    last_used.record(make_outcome(key=make_key("key_0"), started=2.0))
    assert last_used.drain() == {"key_0": 2.0, "key_1": 1.0}
