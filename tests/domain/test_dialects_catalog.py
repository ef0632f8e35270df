"""The dialects against the vendors' texts; the ids are those of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.domain.denial import Denial, Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.definition import STATUS_TEXTS, Site, Slot
from gateway.domain.dialects.render import Dialect

_INVALID = (
    Reason.MALFORMED_CREDENTIALS,
    Reason.BAD_CHECKSUM,
    Reason.UNKNOWN_KEY,
    Reason.KEY_REVOKED,
)


def _body(name: str, denial: Denial | Reason, site: Site | None = None) -> dict[str, Any]:
    denial = denial if isinstance(denial, Denial) else Denial(reason=denial)
    dialect = Dialect(DIALECTS[name], site or Site())
    body: dict[str, Any] = json.loads(dialect.render(denial, b"req_1", 1_700_000_000.0).body)
    return body


def _bytes(name: str, reason: Reason) -> bytes:
    return Dialect(DIALECTS[name]).render(Denial(reason=reason), b"req_1", 0.0).body


def test_the_default_dialect_is_problem() -> None:
    assert next(iter(DIALECTS)) == "problem"
    assert set(DIALECTS) == {"problem", "hirepanda", "jobhive", "instaview", "instaview_nest"}
    assert all(name == definition.name for name, definition in DIALECTS.items())


@pytest.mark.parametrize("name", DIALECTS)
def test_tables_use_only_known_slots_and_statuses(name: str) -> None:
    definition = DIALECTS[name]
    assert definition.extras <= set(Slot)
    assert set(definition.codes) <= set(STATUS_TEXTS)


@pytest.mark.parametrize("reason", [Reason.MISSING_CREDENTIALS, *_INVALID, Reason.KEY_SUSPENDED])
def test_hp_25_a_missing_or_invalid_key_gets_exactly_the_vendors_bytes(reason: Reason) -> None:
    assert _bytes("hirepanda", reason) == (
        b'{"error":{"code":"unauthorized","message":"Invalid or missing API key","status":401}}'
    )


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        (Reason.KEY_EXPIRED, "key_expired", 401),
        (Reason.INSUFFICIENT_SCOPE, "forbidden", 403),
        (Reason.IP_NOT_ALLOWED, "forbidden", 403),
        (Reason.CROSS_TENANT, "forbidden", 403),
        (Reason.RATE_LIMITED, "rate_limited", 429),
        (Reason.QUOTA_EXCEEDED, "rate_limited", 429),
        (Reason.AUTH_THROTTLED, "rate_limited", 429),
    ],
)
def test_hp_26_codes_of_hirepanda(reason: Reason, code: str, status: int) -> None:
    error = _body("hirepanda", reason)["error"]
    assert (error["code"], error["status"]) == (code, status)
    assert list(error)[:3] == ["code", "message", "status"]


def test_jh_14_a_missing_key_gets_exactly_the_vendors_bytes() -> None:
    assert _bytes("jobhive", Reason.MISSING_CREDENTIALS) == (
        b'{"success":false,"error":{"code":"AUTHENTICATION_REQUIRED","message":"API key is '
        b"required. Include 'Authorization: Bearer YOUR_API_KEY' header.\","
        b'"details":{"header_missing":"Authorization"}}}'
    )


def test_jh_15_the_three_401_codes_of_jobhive_are_distinct() -> None:
    for reason in (*_INVALID, Reason.KEY_SUSPENDED):
        assert _body("jobhive", reason)["error"]["code"] == "INVALID_API_KEY"
    assert _body("jobhive", Reason.KEY_EXPIRED)["error"]["code"] == "API_KEY_EXPIRED"


@pytest.mark.parametrize("reason", Reason)
def test_jh_15_every_answer_of_jobhive_has_a_message(reason: Reason) -> None:
    body = _body("jobhive", reason)
    assert body["success"] is False
    assert body["error"]["message"]
    assert body["error"]["code"] == body["error"]["code"].upper()


def test_jh_26_answers_without_given_bytes_carry_meta() -> None:
    body = _body("jobhive", Reason.UPSTREAM_TIMEOUT, Site(docs_url="https://d.example"))
    assert body["meta"] == {
        "timestamp": "2023-11-14T22:13:20Z",
        "request_id": "req_1",
        "documentation_url": "https://d.example",
    }
    assert "details" not in body["error"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.INSUFFICIENT_SCOPE, "INSUFFICIENT_PERMISSIONS"),
        (Reason.IP_NOT_ALLOWED, "IP_NOT_ALLOWED"),
        (Reason.CROSS_TENANT, "FORBIDDEN"),
        (Reason.RATE_LIMITED, "RATE_LIMIT_EXCEEDED"),
        (Reason.QUOTA_EXCEEDED, "QUOTA_EXCEEDED"),
        (Reason.NO_ROUTE, "NOT_FOUND"),
    ],
)
def test_undocumented_codes_of_jobhive_follow_its_spelling(reason: Reason, code: str) -> None:
    assert _body("jobhive", reason)["error"]["code"] == code


def test_iv_34_one_code_covers_invalid_revoked_and_expired_but_not_suspended() -> None:
    for reason in (Reason.MISSING_CREDENTIALS, *_INVALID, Reason.KEY_EXPIRED):
        error = _body("instaview", reason)["error"]
        assert error["code"] == "INVALID_API_KEY"
        assert error["message"] == "The provided API key is invalid or has been revoked"
    assert _body("instaview", Reason.KEY_SUSPENDED)["error"]["code"] == "API_KEY_SUSPENDED"


def test_iv_35_the_three_403_of_instaview_are_distinct_and_name_scope_and_address() -> None:
    scope = Denial(reason=Reason.INSUFFICIENT_SCOPE, required_scopes=("write:jobs",))
    address = Denial(reason=Reason.IP_NOT_ALLOWED, client_address="192.0.2.1")
    bodies = [_body("instaview", denial) for denial in (scope, address, Reason.CROSS_TENANT)]
    assert len({body["error"]["code"] for body in bodies}) == 3
    assert bodies[0]["error"]["details"]["requiredScopes"] == ["write:jobs"]
    assert "192.0.2.1" in bodies[1]["error"]["message"]
    assert _body("instaview_nest", scope) == {
        "message": "Insufficient permissions: Required scope write:jobs not found",
        "error": "Forbidden",
        "statusCode": 403,
        "requestId": "req_1",
    }


def test_iv_36_and_x_8_the_nest_429_tells_the_number_of_the_header() -> None:
    denial = Denial(
        reason=Reason.RATE_LIMITED, retry_after_seconds=30, limit=60, remaining=0, reset_seconds=30
    )
    answer = Dialect(DIALECTS["instaview_nest"]).render(denial, b"req_1", 1_700_000_000.0)
    body = json.loads(answer.body)
    assert list(body.items()) == [
        ("statusCode", 429),
        ("message", "Rate limit exceeded"),
        ("error", "Too Many Requests"),
        ("retryAfter", 30),
        ("limit", 60),
        ("remaining", 0),
        ("reset", 1_700_000_030),
        ("requestId", "req_1"),
    ]
    assert (b"Retry-After", b"30") in answer.fields


def test_iv_38_instaview_answers_in_its_general_envelope() -> None:
    body = _body("instaview", Reason.INTERNAL)
    assert list(body) == ["success", "data", "error", "timestamp"]
    assert body["success"] is False
    assert body["data"] is None


def test_a_problem_has_the_members_of_rfc_9457_and_a_stable_type() -> None:
    bare = _body("problem", Reason.KEY_SUSPENDED)
    assert bare == {
        "type": "urn:tollhouse:reason:key_suspended",
        "title": "Key suspended",
        "status": 401,
        "detail": "The API key is suspended.",
        "instance": "urn:tollhouse:request:req_1",
        "code": "key_suspended",
        "request_id": "req_1",
    }
    documented = _body("problem", Reason.KEY_SUSPENDED, Site(docs_url="https://docs.example/"))
    assert documented["type"] == "https://docs.example/reasons/key_suspended"


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (Reason.RATE_LIMITED, "quota-exceeded"),
        (Reason.QUOTA_EXCEEDED, "quota-exceeded"),
        (Reason.CONCURRENCY_LIMITED, "quota-exceeded"),
        (Reason.AUTH_THROTTLED, "abnormal-usage-detected"),
    ],
)
def test_limits_use_the_problem_types_of_the_ratelimit_draft(reason: Reason, name: str) -> None:
    denial = Denial(reason=reason, violated_policies=("minute",), retry_after_seconds=3)
    body = _body("problem", denial)
    assert body["type"] == f"https://iana.org/assignments/http-problem-types#{name}"
    assert body["code"] == reason.value
    assert body["retry_after"] == 3
    # The throttle is nobody's policy: an attacker learns no name of a limit.
    assert body.get("violated-policies") == (["minute"] if name == "quota-exceeded" else None)


def test_a_problem_type_has_one_title() -> None:
    bodies = [_body("problem", reason) for reason in Reason]
    assert len({body["type"] for body in bodies}) == len(
        {(body["type"], body["title"]) for body in bodies}
    )
