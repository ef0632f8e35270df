"""The life of an alert: pending, firing, acknowledged, resolved, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import alerts as life
from gateway.domain.alerts import Alert, AlertEvent, AlertState, Patience, Severity, Step
from tests.alert_samples import NOW, a_finding, an_alert

AT_ONCE = Patience()
PATIENT = Patience(fire_after_seconds=300.0, resolve_after_seconds=600.0)


def begun(patience: Patience = AT_ONCE) -> Step:
    finding = a_finding()
    alert = life.begun("alr_1", finding, "it is so", Severity.WARNING, NOW)
    return life.seen(alert, finding, "it is so", patience, NOW)


def test_what_is_found_fires_at_once_unless_the_rule_waits() -> None:
    alert, event = begun()
    assert alert is not None
    assert (alert.state, event, alert.fired_at) == (AlertState.FIRING, AlertEvent.FIRED, NOW)
    assert alert.identity == a_finding().identity
    assert (alert.summary, alert.details, alert.occurrences) == ("it is so", {"errors": 7}, 1)


def test_a_rule_that_waits_fires_when_it_has_been_so_for_long_enough() -> None:
    alert, event = begun(PATIENT)
    assert alert is not None
    assert (alert.state, event) == (AlertState.PENDING, None)
    step = life.seen(alert, a_finding(), "still", PATIENT, NOW + 299)
    assert step.alert is not None
    assert (step.alert.state, step.event) == (AlertState.PENDING, None)
    step = life.seen(step.alert, a_finding(), "still", PATIENT, NOW + 300)
    assert step.alert is not None
    assert (step.alert.state, step.event) == (AlertState.FIRING, AlertEvent.FIRED)
    assert (step.alert.began_at, step.alert.fired_at) == (NOW, NOW + 300)


def test_what_is_gone_before_it_fired_is_forgotten() -> None:
    alert, _ = begun(PATIENT)
    assert alert is not None
    assert life.missed(alert, PATIENT, NOW + 60) == Step(None)
    assert life.ended(alert, NOW + 60) == Step(None)


def test_an_alert_fires_once_however_often_it_is_found() -> None:
    alert, _ = begun()
    for minute in range(1, 10):
        assert alert is not None
        alert, event = life.seen(alert, a_finding(), "again", AT_ONCE, NOW + 60 * minute)
        assert event is None
    assert alert is not None
    assert (alert.fired_at, alert.last_seen_at, alert.occurrences) == (NOW, NOW + 540, 1)
    assert alert.summary == "again"


def test_an_alert_is_over_when_it_was_gone_for_long_enough() -> None:
    alert: Alert | None = an_alert()
    for seconds, is_over in ((60, False), (659, False), (660, True)):
        assert alert is not None
        alert, event = life.missed(alert, PATIENT, NOW + seconds)
        assert alert is not None
        assert (event is AlertEvent.RESOLVED) == is_over
    assert alert is not None
    assert (alert.state, alert.resolved_at) == (AlertState.RESOLVED, NOW + 660)
    assert (alert.absent_since, alert.last_seen_at) == (NOW + 60, NOW)


def test_what_comes_back_before_it_is_over_is_counted_and_not_told_again() -> None:
    away = life.missed(an_alert(), PATIENT, NOW + 60).alert
    assert away is not None
    back, event = life.seen(away, a_finding(), "back", PATIENT, NOW + 120)
    assert back is not None
    assert (event, back.occurrences, back.absent_since) == (None, 2, None)
    assert life.missed(back, PATIENT, NOW + 700).event is None  # it is gone anew


def test_an_alert_of_a_rule_that_is_switched_off_is_over_at_once() -> None:
    alert, event = life.ended(an_alert(), NOW + 1)
    assert alert is not None
    assert (alert.state, event) == (AlertState.RESOLVED, AlertEvent.RESOLVED)


def test_an_acknowledged_alert_ends_like_any_other() -> None:
    acknowledged = an_alert(acknowledged_at=NOW + 1, acknowledged_by="ann")
    assert acknowledged.state is AlertState.ACKNOWLEDGED
    over = life.missed(acknowledged, AT_ONCE, NOW + 2)
    assert over.event is AlertEvent.RESOLVED
    assert over.alert is not None
    assert over.alert.state is AlertState.RESOLVED


@given(
    st.lists(st.booleans(), max_size=60),
    st.sampled_from((0.0, 60.0, 180.0)),
    st.sampled_from((0.0, 60.0, 180.0)),
)
def test_of_each_alert_it_is_told_that_it_fires_once_and_then_that_it_is_over_once(
    looks: list[bool], fire_after: float, resolve_after: float
) -> None:
    patience = Patience(fire_after_seconds=fire_after, resolve_after_seconds=resolve_after)
    alert: Alert | None = None
    told: dict[str, list[AlertEvent]] = {}
    for number, is_found in enumerate(looks):
        now = NOW + 60 * number
        if is_found:
            if alert is None:
                alert = life.begun(f"alr_{number}", a_finding(), "x", Severity.INFO, now)
            step = life.seen(alert, a_finding(), "x", patience, now)
        elif alert is None:
            continue
        else:
            step = life.missed(alert, patience, now)
        if step.event is not None:
            assert step.alert is not None
            told.setdefault(step.alert.alert_id, []).append(step.event)
        is_over = step.alert is None or step.alert.resolved_at is not None
        alert = None if is_over else step.alert
    for events in told.values():
        assert events in ([AlertEvent.FIRED], [AlertEvent.FIRED, AlertEvent.RESOLVED])


def test_severities_are_told_by_their_order() -> None:
    assert [*Severity] == [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    assert replace(an_alert(), severity=Severity.CRITICAL).severity == "critical"
