from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.hygiene import IN_USE, Around, Finding, Flaw, KeyUse, Thresholds, findings
from gateway.domain.keys import KeyState
from tests.key_samples import a_key

DAY = 86_400.0
NOW = 1_700_000_000.0 + 100 * DAY
THRESHOLDS = Thresholds(idle_seconds=30 * DAY, networks_max=10)
CLEAN: dict[str, Any] = {
    "created_at": NOW - 10 * DAY,
    "last_used_at": NOW - DAY,
    "expires_at": NOW + DAY,
    "pepper_id": "p2",
}


def around(**changes: Any) -> Around:
    values: dict[str, Any] = {
        "moment": NOW,
        "is_limited": True,
        "rotation_due_at": NOW + DAY,
        "current_pepper": "p2",
        "use": KeyUse(networks=10),
    }
    return Around(**(values | changes))


def found(key: dict[str, Any] | None = None, **changes: Any) -> tuple[Finding, ...]:
    return findings(a_key(**(CLEAN | (key or {}))), around(**changes), THRESHOLDS)


def test_a_clean_key_has_no_flaw() -> None:
    assert found() == ()


@pytest.mark.parametrize(
    ("key", "changes", "expected"),
    [
        (
            {"last_used_at": NOW - 30 * DAY},
            {},
            Finding(flaw=Flaw.IDLE, since=NOW - 30 * DAY),
        ),
        (
            {"last_used_at": None, "created_at": NOW - 31 * DAY},
            {},
            Finding(flaw=Flaw.IDLE, since=NOW - 31 * DAY),
        ),
        ({"expires_at": None}, {}, Finding(flaw=Flaw.NEVER_EXPIRES)),
        ({}, {"is_limited": False}, Finding(flaw=Flaw.UNLIMITED)),
        ({}, {"rotation_due_at": NOW}, Finding(flaw=Flaw.ROTATION_OVERDUE, since=NOW)),
        ({}, {"use": KeyUse(networks=11)}, Finding(flaw=Flaw.MANY_NETWORKS, count=11)),
        ({}, {"use": KeyUse(from_browser=3)}, Finding(flaw=Flaw.CLIENT_SIDE_USE, count=3)),
        ({"pepper_id": "p1"}, {}, Finding(flaw=Flaw.OLD_PEPPER)),
    ],
)
def test_each_flaw_is_found_alone(
    key: dict[str, Any], changes: dict[str, Any], expected: Finding
) -> None:
    """D13, HP-10, HP-19."""
    assert found(key, **changes) == (expected,)


def test_every_flaw_may_be_found_at_once_in_one_order() -> None:
    worst = {
        "created_at": NOW - 400 * DAY,
        "last_used_at": None,
        "expires_at": None,
        "pepper_id": "p1",
    }
    use = KeyUse(networks=99, from_browser=1)
    flaws = found(worst, is_limited=False, rotation_due_at=NOW - DAY, use=use)
    assert [each.flaw for each in flaws] == [*Flaw]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ({"last_used_at": NOW - 30 * DAY + 1}, {}),
        ({"last_used_at": None, "created_at": NOW - 30 * DAY + 1}, {}),
        ({"expires_at": None, "retires_at": NOW + DAY, "state": KeyState.ROTATING}, {}),
        ({}, {"rotation_due_at": None}),
        ({}, {"use": None}),
    ],
)
def test_what_is_not_a_flaw_yet_is_not_told(key: dict[str, Any], changes: dict[str, Any]) -> None:
    assert found(key, **changes) == ()


@pytest.mark.parametrize(
    "key",
    [
        {"state": KeyState.REVOKED},
        {"state": KeyState.EXPIRED},
        {"expires_at": NOW},
        {"state": KeyState.ROTATING, "retires_at": NOW},
    ],
)
def test_a_key_that_does_not_work_any_more_has_no_flaws(key: dict[str, Any]) -> None:
    assert found({**key, "pepper_id": "p1"}, is_limited=False) == ()


def test_a_suspended_key_may_work_again_and_has_its_flaws() -> None:
    assert KeyState.SUSPENDED in IN_USE
    assert found({"state": KeyState.SUSPENDED}, is_limited=False) != ()
