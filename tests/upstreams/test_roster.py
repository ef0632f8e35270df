"""The targets of a service together: who may be ejected, who returns, what happens when nobody is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.control.deadlines import DeadlineWheel
from gateway.outbox import Outbox
from gateway.upstreams.balance import HashRing, LeastOutstanding, RoundRobin, TwoChoices
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.health import EjectionRules, Health, TargetState
from gateway.upstreams.roster import Roster
from gateway.upstreams.settings import Balance, Settings
from gateway.upstreams.target import Address, Target

RULES = EjectionRules(failures=2, seconds=10.0, seconds_max=20.0, share_max=0.7)


class TimerLoop:
    """An event loop of which only the clock and its timers are there."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None], Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, moment: float, callback: Callable[[], None]) -> Any:
        entry = (moment, callback, self)
        self.timers.append(entry)
        return Handle(self, entry)

    def advance(self, seconds: float) -> None:
        """Let time pass and timers fire."""
        end = self.now + seconds
        while due := [entry for entry in self.timers if entry[0] <= end]:
            first = min(due, key=lambda entry: entry[0])
            self.timers.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


class Handle:
    def __init__(self, loop: TimerLoop, entry: Any) -> None:
        self._loop = loop
        self._entry = entry

    def cancel(self) -> None:
        if self._entry in self._loop.timers:
            self._loop.timers.remove(self._entry)


class Rig:
    """A roster of so many targets on a clock that stands."""

    def __init__(self, count: int, *, slow_start: float = 0.0, **settings: Any) -> None:
        self.clock = TimerLoop()
        self.loop = cast("asyncio.AbstractEventLoop", self.clock)
        self.slow_start = slow_start
        self.changes = 0
        self.settings = Settings(**{"ejection": RULES} | settings)
        self.roster = Roster(
            "up", self.settings, loop=self.loop, random=lambda: 0.0, on_change=self._changed
        )
        self.targets = [self.target(n) for n in range(count)]
        self.roster.replace(self.targets)

    def _changed(self) -> None:
        self.changes += 1

    def target(self, number: int) -> Target:
        return Target(
            Address(host=f"10.0.0.{number}", port=80),
            loop=self.loop,
            deadlines=DeadlineWheel(self.loop),
            outbox=Outbox(cast("asyncio.AbstractEventLoop", Quiet())),
            dial=Dialer(),
            health=Health(self.settings.ejection, self.slow_start, self.clock.now),
            timeouts=self.settings.timeouts,
            connections_max=4,
            idle_connections_max=4,
            idle_lifetime_seconds=60,
        )

    def break_(self, *numbers: int) -> None:
        for number in numbers:
            for _ in range(RULES.failures):
                self.roster.failed(self.targets[number], "broken")

    def picked(self, count: int = 600) -> Counter[int]:
        picker = self.roster.picker
        assert picker is not None
        return Counter(self.targets.index(picker.pick(b"%d" % n)) for n in range(count))

    def states(self) -> list[TargetState]:
        return [target.health.state(self.clock.now) for target in self.targets]


class Quiet:
    def call_soon(self, _: Callable[[], None]) -> None: ...


# ---- choosing


@pytest.mark.parametrize(
    ("balance", "kind"),
    [
        ("round_robin", RoundRobin),
        ("least_outstanding", LeastOutstanding),
        ("two_choices", TwoChoices),
        ("hash", HashRing),
    ],
)
def test_targets_are_chosen_as_configured(balance: Balance, kind: type) -> None:
    assert type(Rig(3, balance=balance).roster.picker) is kind


def test_weights_count() -> None:
    rig = Rig(2)
    rig.targets[0].weight = 3
    rig.roster.settle()
    assert rig.picked(400) == {0: 300, 1: 100}


# ---- ejection


def test_ejected_target_gets_nothing_until_its_time_is_over() -> None:
    rig = Rig(3)
    rig.break_(0)
    assert rig.states() == [TargetState.EJECTED, TargetState.UP, TargetState.UP]
    assert set(rig.picked()) == {1, 2}
    rig.clock.advance(9.9)
    assert set(rig.picked()) == {1, 2}
    rig.clock.advance(0.2)
    assert rig.states()[0] is TargetState.PROBATION
    assert set(rig.picked()) == {0, 1, 2}
    assert rig.roster.ejections == 1


def test_failure_on_probation_ejects_at_once_and_longer() -> None:
    rig = Rig(3)
    rig.break_(0)
    rig.clock.advance(10)
    rig.roster.failed(rig.targets[0], "still broken")
    assert rig.states()[0] is TargetState.EJECTED
    rig.clock.advance(19)
    assert rig.states()[0] is TargetState.EJECTED
    rig.clock.advance(1)
    assert rig.states()[0] is TargetState.PROBATION


@pytest.mark.parametrize(
    ("count", "share", "ejected"),
    [(1, 1.0, 0), (2, 0.7, 1), (2, 0.0, 1), (3, 0.7, 2), (3, 0.5, 1), (4, 1.0, 3), (10, 0.7, 7)],
)
def test_only_so_many_are_ejected_and_never_the_last(
    count: int, share: float, ejected: int
) -> None:
    rules = EjectionRules(failures=2, seconds=10.0, seconds_max=20.0, share_max=share)
    rig = Rig(count, ejection=rules)
    rig.break_(*range(count))
    assert rig.states().count(TargetState.EJECTED) == ejected
    assert not rig.roster.is_panicking


def test_target_that_could_not_be_done_without_is_ejected_as_soon_as_it_can() -> None:
    rig = Rig(2)
    rig.break_(0, 1)
    assert rig.states() == [TargetState.EJECTED, TargetState.UP]
    rig.clock.advance(10)
    rig.roster.failed(rig.targets[1], "broken")
    assert rig.states() == [TargetState.PROBATION, TargetState.EJECTED]


# ---- probes and panic


def test_target_that_is_down_by_probe_gets_nothing_until_it_is_up() -> None:
    rig = Rig(2)
    rig.targets[0].probed(False, "GET /health: 500")
    assert set(rig.picked()) == {1}
    rig.clock.advance(1000)
    assert set(rig.picked()) == {1}
    rig.targets[0].probed(True, "")
    assert set(rig.picked()) == {0, 1}


def test_all_are_used_when_none_is_left() -> None:
    rig = Rig(2)
    rig.break_(0)
    rig.targets[1].probed(False, "down")
    assert rig.roster.is_panicking
    assert set(rig.picked()) == {0, 1}
    assert rig.roster.has_other([rig.targets[0].label])
    rig.targets[1].probed(True, "")
    assert not rig.roster.is_panicking
    assert set(rig.picked()) == {1}
    assert not rig.roster.has_other([rig.targets[1].label])


def test_nobody_is_used_when_none_is_left_and_that_is_wanted() -> None:
    rig = Rig(1, panic_uses_all=False)
    rig.targets[0].probed(False, "down")
    assert rig.roster.picker is None
    assert not rig.roster.has_other([])


def test_last_target_is_not_ejected_while_the_others_are_down() -> None:
    rig = Rig(2)
    rig.targets[0].probed(False, "down")
    rig.break_(1)
    assert rig.states() == [TargetState.DOWN, TargetState.UP]


# ---- warming up


def test_share_of_a_target_that_comes_back_grows_step_by_step() -> None:
    rig = Rig(2, slow_start=100.0)
    rig.break_(0)
    rig.clock.advance(10)
    grown = []
    for _ in range(11):
        grown.append(rig.picked(2000)[0])
        rig.clock.advance(10)
    assert grown == sorted(grown)
    assert grown[0] == pytest.approx(2000 * 0.1 / 1.1, abs=30)
    assert grown[5] == pytest.approx(2000 * 0.5 / 1.5, abs=30)
    assert grown[10] == 1000
    assert rig.clock.timers == []


def test_shares_of_a_hash_do_not_grow() -> None:
    rig = Rig(2, slow_start=100.0, balance="hash")
    before = rig.picked()
    rig.targets[0].probed(False, "down")
    rig.targets[0].probed(True, "")
    assert rig.picked() == before


# ---- coming and going


def test_target_that_was_removed_is_forgotten_when_it_is_empty() -> None:
    rig = Rig(3)
    rig.roster.replace(rig.targets[1:])
    assert rig.roster.targets == (rig.targets[1], rig.targets[2])
    assert rig.roster.leaving == set()
    assert rig.targets[0].label not in rig.roster.by_label
    assert set(rig.picked()) == {1, 2}


def test_what_a_probe_finds_of_a_removed_target_is_no_news() -> None:
    rig = Rig(2)
    rig.roster.replace(rig.targets[1:])
    changes = rig.changes
    rig.targets[0].probed(False, "gone")
    assert rig.changes == changes


def test_roster_of_nobody_picks_nobody_and_does_not_panic() -> None:
    rig = Rig(2)
    rig.roster.replace([])
    assert rig.roster.picker is None
    assert not rig.roster.is_panicking


def test_closed_roster_comes_back_no_more() -> None:
    rig = Rig(2)
    rig.break_(0)
    assert len(rig.clock.timers) == 1
    rig.roster.close()
    assert rig.clock.timers == []
