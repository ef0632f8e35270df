"""Keys that end soon, and keys that should have been rotated: IV-16, X-16, HP-10, IV-18."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.alert_rules.catalogue import RuleName
from gateway.domain.alert_rules.lifetimes import expiring, rotation_overdue
from gateway.domain.keys import KeyState
from gateway.domain.policies import KeyMatch, Policies, PolicyRules, RotationRule
from tests.alert_samples import DAY, NOW, a_rule
from tests.key_samples import HIREPANDA, a_key

ENDS = a_rule(RuleName.EXPIRING)
OVERDUE = a_rule(RuleName.ROTATION_OVERDUE)
LEADS = (30 * DAY, 7 * DAY, DAY)
OLD = NOW - 365 * DAY


def subjects(now: float, leads: tuple[float, ...] = LEADS, **key: Any) -> list[str]:
    record = a_key(**({"created_at": OLD, "expires_at": NOW} | key))
    return [each.subject for each in expiring(record, leads, ENDS, now)]


@pytest.mark.parametrize(
    ("days_left", "lead_days"),
    [(31, None), (30, 30), (8, 30), (7, 7), (1.01, 7), (1, 1), (0.01, 1), (0, None), (-1, None)],
)
def test_x_16_of_the_lead_times_that_have_begun_the_shortest_is_told(
    days_left: float, lead_days: int | None
) -> None:
    expected = [] if lead_days is None else [f"{lead_days * DAY:.0f}s before 2023-11-14T22:13:20Z"]
    assert subjects(NOW - days_left * DAY) == expected


def test_iv_16_by_default_a_key_is_told_of_seven_days_before() -> None:
    leads = PolicyRules().reminders
    assert subjects(NOW - 7 * DAY - 1, leads) == []
    assert subjects(NOW - 7 * DAY, leads) == ["604800s before 2023-11-14T22:13:20Z"]


def test_what_is_found_says_when_the_key_ends() -> None:
    [found] = expiring(a_key(created_at=OLD, expires_at=NOW), LEADS, ENDS, NOW - 6.9 * DAY)
    assert found.text == "expires in 7 days, at 2023-11-14T22:13:20Z"
    assert found.details == {"expires_at": "2023-11-14T22:13:20Z", "lead_seconds": 7 * DAY}
    assert (found.tenant_id, found.key_id) == ("ten_a", "key_a")


def test_an_extended_key_is_told_of_again_and_under_another_subject() -> None:
    before, after = subjects(NOW - DAY), subjects(NOW - DAY, expires_at=NOW + 5 * DAY)
    assert before != after
    assert len(after) == 1


def test_a_key_that_was_made_to_live_shorter_is_not_reminded_of_it() -> None:
    assert subjects(NOW - 2 * DAY, created_at=NOW - 3 * DAY) == []
    assert subjects(NOW - DAY, created_at=NOW - 3 * DAY) == ["86400s before 2023-11-14T22:13:20Z"]


@pytest.mark.parametrize("state", [KeyState.REVOKED, KeyState.EXPIRED])
def test_a_key_that_has_ended_ends_no_more(state: KeyState) -> None:
    later = NOW + DAY if state is KeyState.REVOKED else NOW - DAY
    assert subjects(NOW - 0.5 * DAY, state=state, expires_at=later) == []


def test_a_key_without_an_end_is_never_told_of() -> None:
    assert subjects(NOW, expires_at=None) == []


def test_a_suspended_key_is_told_of_because_it_may_be_resumed() -> None:
    assert len(subjects(NOW - DAY, state=KeyState.SUSPENDED)) == 1


POLICIES = Policies(
    HIREPANDA,
    PolicyRules(
        rotation=(
            RotationRule(match=KeyMatch(scopes=("*:write",)), every_seconds=90 * DAY),
            RotationRule(every_seconds=180 * DAY),
        )
    ),
)


@pytest.mark.parametrize(
    ("scopes", "days", "is_overdue"),
    [
        (("jobs:write",), 89, False),
        (("jobs:write",), 90, True),
        (("jobs:read",), 90, False),
        (("jobs:read",), 180, True),
    ],
)
def test_hp_10_iv_18_a_key_is_overdue_when_its_policy_says_so(
    scopes: tuple[str, ...], days: float, is_overdue: bool
) -> None:
    record = a_key(created_at=NOW, scopes=scopes)
    found = [*rotation_overdue(record, POLICIES, OVERDUE, NOW + days * DAY)]
    assert bool(found) == is_overdue


def test_hp_10_an_overdue_key_is_found_with_the_day_on_which_it_was_due() -> None:
    record = a_key(created_at=NOW, scopes=("jobs:write",))
    [found] = rotation_overdue(record, POLICIES, OVERDUE, NOW + 100 * DAY)
    assert found.text == "should have been rotated by 2024-02-12T22:13:20Z"
    assert found.details == {"due_at": "2024-02-12T22:13:20Z"}
    assert (found.tenant_id, found.key_id, found.subject) == ("ten_a", "key_a", "")


def test_without_a_policy_or_with_a_successor_no_key_is_overdue() -> None:
    nothing = Policies(HIREPANDA)
    assert [*rotation_overdue(a_key(created_at=OLD), nothing, OVERDUE, NOW)] == []
    rotating = a_key(created_at=OLD, state=KeyState.ROTATING, retires_at=NOW + DAY)
    assert [*rotation_overdue(rotating, POLICIES, OVERDUE, NOW)] == []
