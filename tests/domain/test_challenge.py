from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.challenge import challenge, with_scope
from gateway.domain.denial import VERDICTS, Reason

_CHALLENGE = re.compile(
    rb'Bearer realm="[\x20\x21\x23-\x5b\x5d-\x7e]*"'
    rb'(?:, (?:error|error_description|scope)="[\x20\x21\x23-\x5b\x5d-\x7e]*")*'
)
"""RFC 6750 section 3: what may stand in each attribute; nothing in it needs an escape."""


def _default(reason: Reason) -> bytes | None:
    return challenge(reason, VERDICTS[reason].status, "api", VERDICTS[reason].detail)


def test_a_request_without_credentials_is_told_no_error_code() -> None:
    assert _default(Reason.MISSING_CREDENTIALS) == b'Bearer realm="api"'


@pytest.mark.parametrize(
    "reason",
    [
        Reason.MALFORMED_CREDENTIALS, Reason.BAD_CHECKSUM, Reason.UNKNOWN_KEY, Reason.KEY_EXPIRED,
        Reason.KEY_SUSPENDED, Reason.KEY_REVOKED,
    ],
)  # fmt: skip
def test_a_bad_key_is_an_invalid_token(reason: Reason) -> None:
    detail = VERDICTS[reason].detail.encode()
    expected = b'Bearer realm="api", error="invalid_token", error_description="%b"' % detail
    assert _default(reason) == expected


def test_two_credentials_are_an_invalid_request_though_the_status_is_400() -> None:
    value = _default(Reason.DUPLICATE_CREDENTIALS)
    assert value is not None
    assert b', error="invalid_request", ' in value


def test_a_missing_scope_is_named_space_separated() -> None:
    base = challenge(Reason.INSUFFICIENT_SCOPE, 403, "api", "Too little.")
    assert base is not None
    assert with_scope(base, ("jobs:write", "jobs:read")) == (
        b'Bearer realm="api", error="insufficient_scope", error_description="Too little.", '
        b'scope="jobs:write jobs:read"'
    )


@pytest.mark.parametrize(
    "reason",
    [Reason.IP_NOT_ALLOWED, Reason.ENV_MISMATCH, Reason.CROSS_TENANT, Reason.TENANT_SUSPENDED],
)
def test_a_403_that_no_scope_would_mend_does_not_send_the_client_for_scopes(reason: Reason) -> None:
    assert _default(reason) == b'Bearer realm="api"'


@pytest.mark.parametrize("reason", Reason)
def test_every_401_and_403_has_a_challenge(reason: Reason) -> None:
    value = _default(reason)
    is_due = VERDICTS[reason].status in (401, 403) or reason is Reason.DUPLICATE_CREDENTIALS
    assert (value is not None) == is_due
    assert value is None or _CHALLENGE.fullmatch(value)


def test_an_answer_whose_status_was_changed_keeps_to_its_new_status() -> None:
    assert challenge(Reason.KEY_EXPIRED, 410, "api", "Gone.") is None
    moved = challenge(Reason.TENANT_SUSPENDED, 401, "api", "Suspended.")
    assert moved is not None
    assert b'error="invalid_token"' in moved


@pytest.mark.parametrize("realm", ['a"b', "a\\b", "a\r\nb", "ä", "\x7f"])
def test_a_realm_that_would_break_the_header_is_refused(realm: str) -> None:
    with pytest.raises(ValueError, match="use printable ASCII without quotes"):
        challenge(Reason.UNKNOWN_KEY, 401, realm, "")


@given(st.text(), st.lists(st.text()))
def test_no_text_can_leave_its_attribute(description: str, scopes: list[str]) -> None:
    base = challenge(Reason.INSUFFICIENT_SCOPE, 403, "api", description)
    assert base is not None
    assert _CHALLENGE.fullmatch(with_scope(base, scopes))
