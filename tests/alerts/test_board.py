"""The open alerts in memory, and what of them is yet to be stored."""

from __future__ import annotations

import logging
from itertools import count

import pytest

from gateway.alerts.board import ENDED_MAX, SEEN_SECONDS, Board, Happened, Judged, Unsaved
from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.settings import RuleSettings
from gateway.domain.alerts import Alert, AlertEvent, AlertState, Severity
from tests.alert_samples import NOW, a_finding, a_rule, an_alert

AT_ONCE = a_rule(RuleName.HIGH_ERROR_RATE, resolve_after=0)
PATIENT = a_rule(RuleName.HIGH_ERROR_RATE, fire_after=120, resolve_after=120)


def a_board(open_max: int = 100) -> Board:
    numbers = count(1)
    return Board(lambda: f"alr_{next(numbers)}", open_max)


def judged(settings: RuleSettings = AT_ONCE, subject: str = "denied") -> Judged:
    return Judged(a_finding(subject=subject), f"it is so: {subject}", settings)


def missed(board: Board, now: float, settings: RuleSettings = AT_ONCE) -> list[Happened]:
    return board.missed([*board.alerts], lambda _: settings, now)


def states(board: Board) -> dict[str, AlertState]:
    return {alert.subject: alert.state for alert in board.alerts}


def save(board: Board) -> Unsaved:
    unsaved = board.unsaved()
    board.saved(unsaved)
    return unsaved


def test_findings_with_one_identity_are_one_alert() -> None:
    board = a_board()
    [fired] = board.found([judged(), judged()], NOW)
    assert (fired.event, fired.alert.alert_id) == (AlertEvent.FIRED, "alr_1")
    assert board.found([judged()], NOW + 60) == []
    assert len(board.alerts) == 1
    assert board.knows(a_finding().identity)
    assert not board.knows(a_finding(subject="upstream").identity)


def test_what_is_missed_is_over_and_leaves_the_board() -> None:
    board = a_board()
    board.found([judged()], NOW)
    [over] = missed(board, NOW + 60)
    assert (over.event, over.alert.state) == (AlertEvent.RESOLVED, AlertState.RESOLVED)
    assert [*board.alerts] == []


def test_an_alert_of_a_rule_that_is_off_is_over_at_once() -> None:
    board = a_board()
    board.found([judged()], NOW)
    off = a_rule(RuleName.HIGH_ERROR_RATE, enabled=False, resolve_after="1d")
    assert [each.event for each in missed(board, NOW + 60, off)] == [AlertEvent.RESOLVED]


def test_a_changed_severity_holds_for_open_alerts_as_well() -> None:
    board = a_board()
    board.found([judged()], NOW)
    save(board)
    board.found([judged(a_rule(RuleName.HIGH_ERROR_RATE, severity="critical"))], NOW + 60)
    [stored] = save(board).alerts
    assert stored.severity is Severity.CRITICAL


def test_only_what_changed_is_stored() -> None:
    board = a_board()
    board.found([judged(PATIENT)], NOW)
    assert [each.state for each in save(board).alerts] == [AlertState.PENDING]
    assert save(board) == Unsaved((), ())
    board.found([judged(PATIENT)], NOW + 60)
    assert save(board) == Unsaved((), ())  # seen again: that alone is not worth a write
    board.found([judged(PATIENT)], NOW + 120)
    assert [each.state for each in save(board).alerts] == [AlertState.FIRING]
    board.found([judged(PATIENT)], NOW + 119 + SEEN_SECONDS)
    assert save(board) == Unsaved((), ())
    board.found([judged(PATIENT)], NOW + 120 + SEEN_SECONDS)
    assert len(save(board).alerts) == 1
    missed(board, NOW + 500, PATIENT)
    assert [each.absent_since for each in save(board).alerts] == [NOW + 500]


def test_a_pending_alert_that_was_stored_is_forgotten_in_the_store_as_well() -> None:
    board = a_board()
    board.found([judged(PATIENT)], NOW)
    missed(board, NOW + 60, PATIENT)
    assert board.unsaved() == Unsaved((), ())  # nobody knew of it
    board.found([judged(PATIENT)], NOW + 120)
    save(board)
    missed(board, NOW + 180, PATIENT)
    assert save(board) == Unsaved((), ("alr_2",))
    assert board.unsaved() == Unsaved((), ())


def test_what_could_not_be_stored_is_stored_later_also_when_it_is_over() -> None:
    board = a_board()
    board.found([judged()], NOW)
    board.unsaved()  # and the store does not answer
    missed(board, NOW + 60)
    [over] = board.unsaved().alerts
    assert over.state is AlertState.RESOLVED
    assert save(board).alerts == (over,)
    assert board.unsaved() == Unsaved((), ())


def test_what_is_loaded_goes_on_and_is_not_stored_again() -> None:
    board = a_board()
    board.load([an_alert("alr_before")])
    assert board.unsaved() == Unsaved((), ())
    assert board.found([judged()], NOW + 60) == []
    [over] = missed(board, NOW + 120)
    assert over.alert.alert_id == "alr_before"


def test_what_began_before_the_store_could_be_read_goes_on_beside_it() -> None:
    board = a_board()
    board.found([judged(subject="upstream")], NOW)
    board.load([an_alert("alr_before")])
    assert set(states(board)) == {"denied", "upstream"}
    board.clear()
    assert [*board.alerts] == []


def test_there_are_only_so_many_open_alerts_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = a_board(open_max=2)
    subjects = ("a", "b", "c")
    for minute in range(3):
        board.found([judged(subject=each) for each in subjects], NOW + 60 * minute)
    assert set(states(board)) == {"a", "b"}
    assert [each.message for each in caplog.records] == [
        "2 alerts are open; further ones wait until some are over"
    ]
    board.missed([each for each in board.alerts if each.subject == "a"], lambda _: AT_ONCE, NOW)
    board.found([judged(subject=each) for each in ("b", "c")], NOW + 240)
    assert set(states(board)) == {"b", "c"}


def of_end(subject: str, settings: RuleSettings) -> Judged:
    finding = a_finding(rule=RuleName.EXPIRING, subject=subject)
    return Judged(finding, f"it ends: {subject}", settings)


def test_iv_16_where_no_more_alerts_fit_what_is_told_once_is_told_and_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = a_board(open_max=1)
    at_once = a_rule(RuleName.EXPIRING)
    happened = board.found([of_end(each, at_once) for each in ("a", "b", "c")], NOW)
    assert [(each.alert.subject, each.event) for each in happened] == [
        ("a", AlertEvent.FIRED),
        *(("b", AlertEvent.FIRED), ("b", AlertEvent.RESOLVED)),
        *(("c", AlertEvent.FIRED), ("c", AlertEvent.RESOLVED)),
    ]
    assert states(board) == {"a": AlertState.FIRING}
    assert {each.subject for each in save(board).alerts} == {"a", "b", "c"}
    assert save(board).alerts == ()
    assert caplog.records == []


def test_where_no_more_alerts_fit_what_has_to_wait_before_it_fires_waits_for_room() -> None:
    board = a_board(open_max=1)
    patient = a_rule(RuleName.EXPIRING, fire_after=120)
    board.found([of_end(each, patient) for each in ("a", "b")], NOW)
    assert states(board) == {"a": AlertState.PENDING}


def test_resolved_alerts_that_wait_for_the_store_are_bounded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    board = a_board(open_max=20_000)
    board.found([judged(subject=str(n)) for n in range(ENDED_MAX + 1)], NOW)
    missed(board, NOW + 60)
    kept: tuple[Alert, ...] = board.unsaved().alerts
    assert (len(kept), kept[0].alert_id) == (ENDED_MAX, "alr_2")
    assert "alr_1 is over and could not be stored" in caplog.text
