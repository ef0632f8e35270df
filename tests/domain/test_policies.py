from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.keys import KeyState
from gateway.domain.policies import (
    DAY_SECONDS,
    KeyMatch,
    LifetimeRule,
    Policies,
    PolicyRules,
    RotationRule,
)
from tests.key_samples import HIREPANDA, a_key

BORN = 1_700_000_000.0
PRIVILEGED = KeyMatch(scopes=("*:write", "*:delete"))
INSTAVIEW = Policies(
    HIREPANDA,
    PolicyRules(
        rotation=(
            RotationRule(match=PRIVILEGED, every_seconds=90 * DAY_SECONDS),
            RotationRule(every_seconds=180 * DAY_SECONDS),
        ),
        expiry=(
            LifetimeRule(match=PRIVILEGED, seconds_max=90 * DAY_SECONDS),
            LifetimeRule(
                match=KeyMatch(tags=("contractor",)),
                seconds_max=30 * DAY_SECONDS,
                is_enforced=False,
            ),
        ),
    ),
)
NONE = Policies(HIREPANDA)


@pytest.mark.parametrize(
    ("scopes", "days"),
    [(("read",), 180), (("write",), 90), (("jobs:delete",), 90), (("admin",), 90), ((), 180)],
)
def test_what_a_key_may_do_decides_when_it_is_due(scopes: tuple[str, ...], days: int) -> None:
    """HP-10, IV-18: privileged keys every 90 days, others every 180."""
    due = INSTAVIEW.rotation_due(a_key(scopes=scopes, created_at=BORN), BORN)
    assert due == BORN + days * DAY_SECONDS


def test_a_key_stays_due_after_its_time_which_makes_it_overdue() -> None:
    key = a_key(created_at=BORN)
    due = INSTAVIEW.rotation_due(key, BORN + 999 * DAY_SECONDS)
    assert due == BORN + 180 * DAY_SECONDS


@pytest.mark.parametrize(
    "changes",
    [
        {"state": KeyState.REVOKED},
        {"state": KeyState.EXPIRED},
        {"expires_at": BORN},
        {"state": KeyState.ROTATING, "retires_at": BORN + 1},
    ],
)
def test_a_key_that_has_ended_or_has_a_successor_is_never_due(changes: dict[str, Any]) -> None:
    assert INSTAVIEW.rotation_due(a_key(created_at=BORN, **changes), BORN) is None


def test_without_policies_nothing_is_due_and_keys_live_for_ever() -> None:
    assert NONE.rotation_due(a_key(), BORN) is None
    assert NONE.overstay(_fields(), BORN) is None
    assert NONE.capped(a_key(expires_at=None), BORN) is None


@pytest.mark.parametrize(
    ("match", "changes", "fits"),
    [
        (KeyMatch(tags=("a", "b")), {"tags": ("b", "c")}, True),
        (KeyMatch(tags=("a",)), {"tags": ("c",)}, False),
        (KeyMatch(templates=("ci", "ops")), {"template": "ops"}, True),
        (KeyMatch(templates=("ci",)), {"template": ""}, False),
        (KeyMatch(scopes=("write",), tags=("a",)), {"scopes": ("write",)}, False),
        (KeyMatch(scopes=("write",), tags=("a",)), {"scopes": ("write",), "tags": ("a",)}, True),
        (KeyMatch(scopes=("*:delete",)), {"scopes": ("gone:delete",)}, False),
    ],
)
def test_a_rule_is_about_keys_that_fit_every_criterion(
    match: KeyMatch, changes: dict[str, Any], fits: bool
) -> None:
    policies = Policies(
        HIREPANDA, PolicyRules(rotation=(RotationRule(match=match, every_seconds=1.0),))
    )
    assert (policies.rotation_due(a_key(**changes), BORN) is not None) is fits


def _fields(**changes: Any) -> dict[str, Any]:
    return {"scopes": ("write",), "tags": (), "template": "", "expires_at": None, **changes}


def test_a_privileged_key_without_an_end_is_told_what_to_send() -> None:
    """IV-16: 90 days for high-privilege keys."""
    found = INSTAVIEW.overstay(_fields(), BORN)
    assert found is not None
    assert found.is_enforced
    assert found.text == (
        "keys like this one live 90 days at most: send an expires_at no later than"
        " 2024-02-12T22:13:20Z"
    )


@pytest.mark.parametrize(
    ("changes", "is_enforced"),
    [
        ({"expires_at": BORN + 90 * DAY_SECONDS}, None),
        ({"expires_at": BORN + 90 * DAY_SECONDS + 1}, True),
        ({"scopes": ("read",)}, None),
        ({"scopes": ("read",), "tags": ("contractor",)}, False),
        ({"scopes": ("write",), "tags": ("contractor",)}, True),
    ],
)
def test_the_first_rule_that_fits_judges_the_end_of_a_key(
    changes: dict[str, Any], is_enforced: bool | None
) -> None:
    found = INSTAVIEW.overstay(_fields(**changes), BORN)
    assert (found and found.is_enforced) is is_enforced


@pytest.mark.parametrize(
    ("scopes", "expires_at", "capped"),
    [
        (("write",), None, BORN + 90 * DAY_SECONDS),
        (("write",), BORN + 10, BORN + 10),
        (("write",), BORN + 999 * DAY_SECONDS, BORN + 90 * DAY_SECONDS),
        (("read",), None, None),
        (("read",), BORN + 10, BORN + 10),
    ],
)
def test_a_successor_never_lives_longer_than_its_predecessor_nor_than_allowed(
    scopes: tuple[str, ...], expires_at: float | None, capped: float | None
) -> None:
    assert INSTAVIEW.capped(a_key(scopes=scopes, expires_at=expires_at), BORN) == capped


def test_a_rule_that_only_warns_caps_nothing() -> None:
    key = a_key(scopes=("read",), tags=("contractor",), expires_at=None)
    assert INSTAVIEW.capped(key, BORN) is None
