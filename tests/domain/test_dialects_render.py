from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.denial import VERDICTS, Denial, Reason
from gateway.domain.dialects.catalog import DIALECTS
from gateway.domain.dialects.compose import ErrorAnswer
from gateway.domain.dialects.definition import STATUS_TEXTS, Extras, Override, Site
from gateway.domain.dialects.render import Dialect

_EVERY = [Dialect(definition) for definition in DIALECTS.values()]
_SITE = Site(realm="api", docs_url="https://docs.example/", support_url="https://help.example")


def _full(reason: Reason) -> Denial:
    """A denial that holds everything, also what its reason may not tell."""
    return Denial(
        reason=reason,
        required_scopes=("jobs:write", "schöne:sache"),
        client_address="203.0.113.9",
        allow=("GET", "HEAD"),
        retry_after_seconds=7,
        violated_policies=("minute",),
        limit=300,
        remaining=0,
        reset_seconds=7,
        internal="digest 0123456789abcdef at 10.9.8.7:5432",
    )


def _fields(answer: ErrorAnswer) -> dict[bytes, bytes]:
    assert len({name for name, _ in answer.fields}) == len(answer.fields)
    return dict(answer.fields)


def _json(answer: ErrorAnswer) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.body)
    return body


each_dialect = pytest.mark.parametrize("dialect", _EVERY, ids=lambda dialect: dialect.name)
each_reason = pytest.mark.parametrize("reason", Reason)


@each_dialect
@each_reason
def test_every_reason_is_answered_in_every_dialect(dialect: Dialect, reason: Reason) -> None:
    for denial in (_full(reason), Denial(reason=reason)):
        answer = dialect.render(denial, b"req_1", 1_700_000_000.5)
        assert answer.status == VERDICTS[reason].status
        assert answer.status in STATUS_TEXTS
        assert answer.body.isascii()
        assert _json(answer)
        assert _fields(answer)[b"Cache-Control"] == b"no-store"
        kind = b"problem+json" if dialect.name == "problem" else b"json"
        assert _fields(answer)[b"Content-Type"] == b"application/" + kind


@each_dialect
@each_reason
def test_no_answer_tells_what_is_for_the_log_or_for_others(
    dialect: Dialect, reason: Reason
) -> None:
    answer = dialect.render(_full(reason), b"req_1", 0.0)
    wire = answer.body + b"".join(name + value for name, value in answer.fields)
    assert b"0123456789abcdef" not in wire
    assert b"10.9.8.7" not in wire
    assert reason is Reason.IP_NOT_ALLOWED or b"203.0.113.9" not in wire
    assert reason is Reason.INSUFFICIENT_SCOPE or b"jobs:write" not in wire


@each_dialect
@each_reason
def test_every_401_and_403_carries_a_bearer_challenge(dialect: Dialect, reason: Reason) -> None:
    answer = dialect.render(_full(reason), b"req_1", 0.0)
    value = _fields(answer).get(b"WWW-Authenticate", b"")
    is_due = answer.status in (401, 403) or reason is Reason.DUPLICATE_CREDENTIALS
    assert value.startswith(b'Bearer realm="tollhouse"') == is_due


@each_dialect
def test_the_challenge_says_no_more_than_the_body_of_the_dialect(dialect: Dialect) -> None:
    unknown = dialect.render(Denial(reason=Reason.UNKNOWN_KEY), b"req_1", 0.0)
    revoked = dialect.render(Denial(reason=Reason.KEY_REVOKED), b"req_1", 0.0)
    assert unknown.fields == revoked.fields


@each_dialect
def test_a_missing_scope_is_named_in_body_and_challenge(dialect: Dialect) -> None:
    """IV-35."""
    answer = dialect.render(_full(Reason.INSUFFICIENT_SCOPE), b"req_1", 0.0)
    assert b"jobs:write" in answer.body
    assert _fields(answer)[b"WWW-Authenticate"].endswith(b', scope="jobs:write sch?ne:sache"')


@each_dialect
def test_the_address_is_told_only_when_the_denial_names_it(dialect: Dialect) -> None:
    named = dialect.render(_full(Reason.IP_NOT_ALLOWED), b"req_1", 0.0)
    assert b"203.0.113.9" in named.body
    bare = dialect.render(Denial(reason=Reason.IP_NOT_ALLOWED), b"req_1", 0.0)
    assert b"address" in bare.body.lower()
    assert b"{}" not in bare.body


@each_dialect
@each_reason
def test_every_429_and_503_says_when_to_come_back(dialect: Dialect, reason: Reason) -> None:
    told = dialect.render(_full(reason), b"req_1", 0.0)
    silent = dialect.render(Denial(reason=reason), b"req_1", 0.0)
    if told.status in (429, 503):
        assert _fields(told)[b"Retry-After"] == b"7"
        assert int(_fields(silent)[b"Retry-After"]) >= 1
    else:
        assert b"Retry-After" not in _fields(told)


@each_dialect
def test_a_405_names_the_methods_even_when_there_are_none(dialect: Dialect) -> None:
    told = dialect.render(_full(Reason.METHOD_NOT_ALLOWED), b"req_1", 0.0)
    assert _fields(told)[b"Allow"] == b"GET, HEAD"
    silent = dialect.render(Denial(reason=Reason.METHOD_NOT_ALLOWED), b"req_1", 0.0)
    assert _fields(silent)[b"Allow"] == b""


@each_dialect
@each_reason
def test_the_request_id_stands_in_every_body_but_the_vendors_own(
    dialect: Dialect, reason: Reason
) -> None:
    answer = dialect.render(_full(reason), b"req_42", 0.0)
    given_bytes = answer.body in (
        b'{"error":{"code":"unauthorized","message":"Invalid or missing API key","status":401}}',
        b'{"success":false,"error":{"code":"AUTHENTICATION_REQUIRED","message":"API key is '
        b'required. Include \'Authorization: Bearer YOUR_API_KEY\' header.","details":'
        b'{"header_missing":"Authorization"}}}',
    )
    assert (b"req_42" in answer.body) != given_bytes


@pytest.mark.parametrize("name", DIALECTS)
@each_reason
def test_extras_can_be_wanted_everywhere_or_nowhere(name: str, reason: Reason) -> None:
    always = Dialect(DIALECTS[name], _SITE, extras=Extras.ALWAYS)
    assert b"req_42" in always.render(Denial(reason=reason), b"req_42", 0.0).body
    never = Dialect(DIALECTS[name], _SITE, extras=Extras.NEVER)
    body = never.render(Denial(reason=reason), b"req_42", 0.0).body
    # A problem's members are the standard's and its own: nothing in it is an extra.
    assert (b"req_42" in body) == (name == "problem")
    assert (b"help.example" in body) == (name == "problem")


@pytest.mark.parametrize("name", DIALECTS)
def test_links_of_the_operator_do_not_tell_merged_reasons_apart(name: str) -> None:
    dialect = Dialect(DIALECTS[name], _SITE)
    body = dialect.render(Denial(reason=Reason.KEY_EXPIRED), b"req_1", 0.0).body
    assert b"https://docs.example" in body
    assert b"https://help.example" in body
    assert (b"/reasons/" in body) == (name == "problem")


def test_a_hidden_reason_cannot_be_told_from_an_unknown_path() -> None:
    """X-21."""
    for definition in DIALECTS.values():
        dialect = Dialect(
            definition,
            hidden={Reason.CROSS_TENANT},
            overrides={Reason.NO_ROUTE: Override(message="Nope."), Reason.CROSS_TENANT: Override()},
        )
        hidden = dialect.render(_full(Reason.CROSS_TENANT), b"req_1", 0.0)
        unknown = dialect.render(Denial(reason=Reason.NO_ROUTE), b"req_1", 0.0)
        assert hidden.status == 404
        assert (hidden.status, hidden.body, hidden.fields) == (
            unknown.status,
            unknown.body,
            unknown.fields,
        )


def test_the_table_of_a_dialect_can_be_edited() -> None:
    """X-2: suspended keys may get a code of their own."""
    dialect = Dialect(
        DIALECTS["jobhive"],
        overrides={
            Reason.KEY_SUSPENDED: Override(code="API_KEY_SUSPENDED", status=403),
            Reason.KEY_EXPIRED: Override(message="Vorbei: schön war's"),
        },
    )
    suspended = dialect.render(Denial(reason=Reason.KEY_SUSPENDED), b"req_1", 0.0)
    assert suspended.status == 403
    assert _json(suspended)["error"]["code"] == "API_KEY_SUSPENDED"
    assert _fields(suspended)[b"WWW-Authenticate"] == b'Bearer realm="tollhouse"'
    expired = dialect.render(Denial(reason=Reason.KEY_EXPIRED), b"req_1", 0.0)
    assert _json(expired)["error"]["message"] == "Vorbei: schön war's"
    assert b'error_description="Vorbei: sch?n war' in _fields(expired)[b"WWW-Authenticate"]


def test_an_override_to_a_status_with_a_duty_brings_its_field() -> None:
    dialect = Dialect(DIALECTS["problem"], overrides={Reason.INTERNAL: Override(status=503)})
    assert _fields(dialect.render(_full(Reason.INTERNAL), b"r", 0.0))[b"Retry-After"] == b"7"
    answer = dialect.render(Denial(reason=Reason.INTERNAL), b"r", 0.0)
    assert _fields(answer)[b"Retry-After"] == b"1"


@each_dialect
@given(request_id=st.text(), scopes=st.lists(st.text(), max_size=3), address=st.text())
def test_no_value_can_break_the_json_or_the_head(
    dialect: Dialect, request_id: str, scopes: list[str], address: str
) -> None:
    for reason in (Reason.INSUFFICIENT_SCOPE, Reason.IP_NOT_ALLOWED):
        denial = Denial(reason=reason, required_scopes=tuple(scopes), client_address=address)
        answer = dialect.render(denial, request_id.encode(), 0.0)
        assert _json(answer)
        for _, value in answer.fields:
            assert not set(value) & set(b"\r\n\0")


ASKED = st.tuples(
    st.sampled_from(list(Reason)),
    st.sampled_from([(), ("a:b",), ("a:b", "c:d")]),
    st.sampled_from(["", "192.0.2.1", "2001:db8::1"]),
    st.integers(0, 3),
    st.sampled_from([b"req_1", b"req_22", b"given-1", b"odd.id", b'"', b"\xff"]),
    st.sampled_from([0.0, 1.0, 1.25, 2.0]),
)


@each_dialect
@settings(max_examples=12, deadline=None)  # a fresh dialect takes milliseconds
@given(asked=st.lists(ASKED, min_size=4, max_size=6))
def test_what_was_written_for_one_denial_is_never_told_to_another(
    dialect: Dialect, asked: list[tuple[Reason, tuple[str, ...], str, int, bytes, float]]
) -> None:
    for reason, scopes, address, number, request_id, now in asked:
        denial = Denial(
            reason=reason,
            required_scopes=scopes,
            client_address=address,
            allow=scopes,
            violated_policies=scopes,
            retry_after_seconds=number,
            limit=number,
            remaining=number,
        )
        known = dialect.render(denial, request_id, now)
        fresh = Dialect(DIALECTS[dialect.name]).render(denial, request_id, now)
        assert (known.status, known.body) == (fresh.status, fresh.body)
        assert (known.start, known.block) == (fresh.start, fresh.block)
        assert known.start.endswith(b"Content-Length: %d\r\n" % len(known.body))


@each_dialect
def test_a_flood_of_different_addresses_is_answered_one_by_one(dialect: Dialect) -> None:
    for number in range(200):
        address = f"192.0.2.{number}"
        denial = Denial(reason=Reason.IP_NOT_ALLOWED, client_address=address)
        assert address.encode() in dialect.render(denial, b"req_1", 0.0).body or (
            b"192.0.2." not in dialect.render(denial, b"req_1", 0.0).body
        )
