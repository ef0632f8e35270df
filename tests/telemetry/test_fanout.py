from __future__ import annotations

import pytest

from gateway.domain.outcome import Outcome
from gateway.telemetry.fanout import Fanout
from tests.clock import FakeClock
from tests.telemetry.outcomes import make_outcome


class Listening:
    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def record(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


class Broken:
    def record(self, outcome: Outcome) -> None:
        raise RuntimeError("the disk is on fire")


def test_every_recorder_hears_every_outcome() -> None:
    first, second = Listening(), Listening()
    fanout = Fanout({"first": first, "second": second}, FakeClock())
    outcome = make_outcome()
    fanout.record(outcome)
    assert first.heard == second.heard == [outcome]
    assert fanout.faults() == {("first",): 0, ("second",): 0}


def test_a_broken_recorder_never_raises_and_never_silences_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    after, clock = Listening(), FakeClock()
    fanout = Fanout({"broken": Broken(), "after": after}, clock)
    for pause in (0, 30, 29.9):
        clock.advance(pause)
        fanout.record(make_outcome())
    assert len(after.heard) == 3
    assert fanout.faults() == {("broken",): 3, ("after",): 0}
    assert len(caplog.records) == 1
    assert "the recorder broken failed" in caplog.text
    assert "the disk is on fire" in caplog.text
    clock.advance(0.1)
    fanout.record(make_outcome())
    assert len(caplog.records) == 2


def test_a_recorder_is_replaced_and_left_out_while_the_others_go_on() -> None:
    first, second, third = Listening(), Listening(), Listening()
    fanout = Fanout({"first": first}, FakeClock())
    fanout.put("log", second)
    fanout.record(make_outcome())
    fanout.put("log", third)
    fanout.record(make_outcome())
    fanout.put("log", None)
    fanout.record(make_outcome())
    assert [len(each.heard) for each in (first, second, third)] == [3, 1, 1]
    assert fanout.faults() == {("first",): 0, ("log",): 0}
    fanout.put("log", Broken())
    fanout.record(make_outcome())
    assert fanout.faults()["log",] == 1
