"""A thousand notices are one message, which says what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from gateway.domain.alert_messages import (
    ALERTS_MAX,
    Waiting,
    content_of,
    lines_of,
    subject_of,
    told,
)
from gateway.domain.alerts import AlertEvent, Severity
from tests.alert_samples import NOW, an_alert

FIRED, RESOLVED = AlertEvent.FIRED, AlertEvent.RESOLVED
URL = "https://wiki.example.org/runbooks/"


def notices(count: int, event: AlertEvent = FIRED, **values: Any) -> list[Mapping[str, Any]]:
    return [told(an_alert(f"alr_{n}", **values), event) for n in range(count)]


def waiting(found: list[Mapping[str, Any]]) -> Waiting:
    counts = Counter((str(each["event"]), str(each["rule"])) for each in found)
    return Waiting(notices=found[:ALERTS_MAX], counts=counts, through=len(found))


def content(found: list[Mapping[str, Any]], url: str = "") -> dict[str, Any]:
    return content_of(waiting(found), url, NOW)


def test_a_notice_holds_what_a_program_and_a_person_need_of_an_alert() -> None:
    alert = an_alert(severity=Severity.CRITICAL, resolved_at=NOW + 60)
    assert told(alert, RESOLVED) == {
        "event": "resolved",
        "alert_id": "alr_1",
        "rule": "ApiKeyHighErrorRate",
        "severity": "critical",
        "tenant_id": "ten_a",
        "key_id": "key_a",
        "subject": "denied",
        "summary": 'Key "CI" (key_a) of ten_a has errors',
        "details": {"errors": 7},
        "fired_at": "2023-11-14T22:13:20Z",
        "resolved_at": "2023-11-14T22:14:20Z",
    }
    pending = told(an_alert(fired_at=None), FIRED)
    assert (pending["fired_at"], pending["resolved_at"]) == (None, None)


def test_one_alert_reads_as_one_line() -> None:
    one = content(notices(1))
    assert one["type"] == "alerts"
    assert one["timestamp"] == "2023-11-14T22:13:20Z"
    line = '[warning] ApiKeyHighErrorRate: Key "CI" (key_a) of ten_a has errors'
    assert subject_of(one) == line
    assert lines_of(one) == [line]
    assert lines_of(content(notices(1, RESOLVED)))[0].startswith("[resolved] ApiKeyHighErrorRate")
    assert lines_of(content(notices(1, AlertEvent.TEST)))[0].startswith("[test] ")


def test_a_thousand_alerts_are_told_in_one_message_that_counts_what_it_leaves_out() -> None:
    many = content(notices(1000, rule="ApiKeyExpiringSoon"))
    assert len(many["alerts"]) == ALERTS_MAX
    assert many["more"] == [
        {"event": "fired", "rule": "ApiKeyExpiringSoon", "count": 1000 - ALERTS_MAX}
    ]
    assert subject_of(many) == "1000 alerts: 1000 fired"
    assert len(lines_of(many)) == ALERTS_MAX + 1
    assert lines_of(many)[-1] == f"and {1000 - ALERTS_MAX} more fired: ApiKeyExpiringSoon"


def test_several_alerts_are_counted_by_what_happened() -> None:
    some = content([*notices(2), *notices(3, RESOLVED)])
    assert some["more"] == []
    assert subject_of(some) == "5 alerts: 2 fired, 3 resolved"
    assert subject_of(content(notices(2))) == "2 alerts: 2 fired"
    assert subject_of(content(notices(2, RESOLVED))) == "2 alerts: 2 resolved"


def test_messages_link_to_the_runbooks_where_there_are_some() -> None:
    linked = content(notices(1), URL)
    assert linked["alerts"][0]["runbook_url"] == f"{URL}ApiKeyHighErrorRate.md"
    assert lines_of(linked)[1] == f"    {URL}ApiKeyHighErrorRate.md"
    assert "runbook_url" not in content(notices(1))["alerts"][0]


def test_what_waits_is_counted() -> None:
    assert waiting(notices(70)).total == 70
    assert Waiting(notices=[], counts={}, through=0).total == 0


def test_what_is_shown_and_was_not_counted_is_not_left_out_twice() -> None:
    shown = Waiting(notices=notices(2), counts={("fired", "ApiKeyHighErrorRate"): 1}, through=1)
    assert content_of(shown, "", NOW)["more"] == []
