"""Sessions are few, end by themselves, and cannot be made of what the gateway remembers."""

from __future__ import annotations

import pytest

from gateway.admin.dashboard.sessions import (
    SESSIONS_MAX,
    SESSIONS_PER_TOKEN_MAX,
    Credential,
    Session,
    Sessions,
    fingerprint,
)
from gateway.config.model import Dashboard
from gateway.domain.admin_tokens import AdminToken, Role
from tests.clock import FakeClock

IDLE, LIFETIME = 1800.0, 43_200.0


def credential(token_id: str = "adm_a") -> Credential:
    return Credential(
        token_id=token_id, role=Role.ADMIN, tenant_id="", fingerprint=fingerprint(b"token")
    )


def a_token(**changes: object) -> AdminToken:
    values: dict[str, object] = {
        "token_id": "adm_a",
        "name": "A",
        "role": Role.ADMIN,
        "digest": b"d" * 32,
        "pepper_id": "p1",
        "display": "tha_ab…yz",
        "created_at": 0.0,
    }
    return AdminToken(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> Sessions:
    return Sessions(clock, Dashboard)


def test_a_cookie_leads_to_its_session_and_no_other_does(sessions: Sessions) -> None:
    cookie, session = sessions.begin(credential())
    other, _ = sessions.begin(credential())
    assert sessions.find(cookie) is session
    assert len(cookie) >= 43
    assert cookie != other
    assert sessions.find(cookie[:-1]) is None
    assert sessions.find("") is None


def test_what_is_remembered_is_no_cookie(sessions: Sessions) -> None:
    cookie, session = sessions.begin(credential())
    remembered = repr(sessions.__dict__)
    assert cookie not in remembered
    assert session.csrf not in remembered
    assert "token" not in repr(session.credential.fingerprint)


def test_a_session_that_nobody_touches_ends(sessions: Sessions, clock: FakeClock) -> None:
    cookie, _ = sessions.begin(credential())
    for _ in range(3):
        clock.advance(IDLE - 1)
        assert sessions.find(cookie) is not None
    clock.advance(IDLE)
    assert sessions.find(cookie) is None
    assert len(sessions) == 0


def test_what_a_page_does_by_itself_keeps_no_session_alive(
    sessions: Sessions, clock: FakeClock
) -> None:
    cookie, _ = sessions.begin(credential())
    clock.advance(IDLE - 1)
    assert sessions.find(cookie, is_touched=False) is not None
    clock.advance(1)
    assert sessions.find(cookie, is_touched=False) is None


def test_a_session_ends_however_busy_it_is(sessions: Sessions, clock: FakeClock) -> None:
    cookie, _ = sessions.begin(credential())
    while clock.mono < 1_000.0 + LIFETIME - IDLE / 2:
        clock.advance(IDLE / 2)
        assert sessions.find(cookie) is not None
    clock.advance(IDLE / 2)
    assert sessions.find(cookie) is None


def test_a_session_ends_when_it_is_ended(sessions: Sessions) -> None:
    cookie, _ = sessions.begin(credential())
    sessions.end(cookie)
    assert sessions.find(cookie) is None
    sessions.end(cookie)


def test_shorter_times_count_for_sessions_that_are_open(clock: FakeClock) -> None:
    settings = [Dashboard()]
    sessions = Sessions(clock, lambda: settings[0])
    cookie, _ = sessions.begin(credential())
    clock.advance(61)
    settings[0] = Dashboard(idle_timeout=60.0)
    assert sessions.find(cookie) is None


def test_no_session_outlives_the_dashboard(clock: FakeClock) -> None:
    settings = [Dashboard()]
    sessions = Sessions(clock, lambda: settings[0])
    cookie, _ = sessions.begin(credential())
    settings[0] = Dashboard(enabled=False)
    assert sessions.find(cookie) is None


def test_a_token_has_a_few_sessions_and_the_one_unused_for_longest_leaves(
    sessions: Sessions,
) -> None:
    cookies = [sessions.begin(credential())[0] for _ in range(SESSIONS_PER_TOKEN_MAX)]
    sessions.find(cookies[0])
    sessions.begin(credential())
    assert len(sessions) == SESSIONS_PER_TOKEN_MAX
    assert sessions.find(cookies[0]) is not None
    assert sessions.find(cookies[1]) is None


def test_all_tokens_together_have_a_bounded_number(sessions: Sessions) -> None:
    first, _ = sessions.begin(credential("adm_first"))
    for n in range(SESSIONS_MAX):
        sessions.begin(credential(f"adm_{n}"))
    assert len(sessions) == SESSIONS_MAX
    assert sessions.find(first) is None


def test_sessions_that_are_over_leave_first(sessions: Sessions, clock: FakeClock) -> None:
    for n in range(10):
        sessions.begin(credential(f"adm_{n}"))
    clock.advance(IDLE)
    sessions.begin(credential("adm_new"))
    assert len(sessions) == 1


@pytest.mark.parametrize(
    ("changes", "is_still"),
    [
        ({}, True),
        ({"role": Role.VIEWER}, False),
        ({"tenant_id": "ten_a"}, False),
        ({"revoked_at": 5.0}, False),
        ({"expires_at": 10.0}, False),
        ({"expires_at": 11.0}, True),
        ({"name": "B", "last_used_at": 9.0}, True),
    ],
)
def test_a_credential_counts_while_its_token_opens_the_same(
    changes: dict[str, object], is_still: bool
) -> None:
    assert credential().is_still(a_token(**changes), 10.0) is is_still


def test_the_token_of_the_configuration_counts_until_it_is_another() -> None:
    own = credential("")
    assert own.is_made_of("token")
    assert not own.is_made_of("other")
    assert not own.is_made_of(None)


def test_only_the_right_csrf_token_is_one() -> None:
    session = Session(credential=credential(), csrf="abc", begun=0.0, touched=0.0)
    assert session.has_csrf("abc")
    for wrong in ("", "ab", "abcd", "äbc"):
        assert not session.has_csrf(wrong)
