"""Spans say what the semantic conventions of OpenTelemetry for HTTP want to know, and no secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Reason
from gateway.domain.outcome import Outcome
from gateway.domain.redaction import MASK, Redactor
from gateway.domain.trace_context import GivenTrace, Spans
from gateway.telemetry.spans import TEXT_LENGTH_MAX, SpanData, SpanWriter
from tests.telemetry.outcomes import make_key, make_outcome
from tests.telemetry.test_access_log import TOKEN

OWN = b"0123456789abcdeffedcba9876543210"
GIVEN = GivenTrace(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"")
WRITER = SpanWriter(Redactor([("sk", ("live", "test"))]).redact, "https")
OFFSET = 1_699_999_000.0


def written(outcome: Outcome, given: GivenTrace | None = None) -> list[SpanData]:
    return [*WRITER.spans(outcome, Spans(OWN, given), OFFSET)]


def server(**fields: Any) -> SpanData:
    outcome = make_outcome(**fields)
    outcome.head.authority = b"api.example.com:8443"
    return written(outcome)[0]


def client(**fields: Any) -> SpanData:
    (_, span) = written(make_outcome(**fields))
    return span


def test_a_forwarded_request_is_two_spans_of_which_the_second_is_the_upstream_s_parent() -> None:
    outer, inner = written(make_outcome())
    assert (outer.is_server, inner.is_server) == (True, False)
    assert (outer.trace_id, inner.trace_id) == (OWN, OWN)
    assert (outer.span_id, outer.parent_id) == (OWN[16:], b"")
    assert (inner.span_id, inner.parent_id) == (OWN[:16], OWN[16:])


def test_a_trace_that_came_goes_on_under_the_client_s_span() -> None:
    outer, inner = written(make_outcome(), GIVEN)
    assert (outer.trace_id, outer.parent_id) == (b"a" * 32, b"b" * 16)
    assert (inner.trace_id, inner.parent_id) == (b"a" * 32, outer.span_id)


def test_the_span_of_a_request_has_the_attributes_of_the_conventions_and_ours() -> None:
    span = server(key=make_key())
    assert span.name == "GET /v1"
    assert span.attributes == {
        "http.request.method": "GET",
        "url.scheme": "https",
        "url.path": "/v1/jobs",
        "url.query": "limit=20",
        "server.address": "api.example.com",
        "server.port": 8443,
        "client.address": "192.0.2.7",
        "network.peer.address": "10.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8.5.0",
        "http.response.status_code": 200,
        "http.route": "/v1",
        "tollhouse.route": "jobs.read",
        "tollhouse.request_id": "req_1",
        "tollhouse.ended": "complete",
        "tollhouse.key_id": "key_1",
        "tollhouse.tenant_id": "ten_1",
        "tollhouse.environment": "live",
    }


def test_the_span_of_what_the_upstream_was_asked_names_upstream_and_target() -> None:
    span = client(upstream_target="10.0.1.1:9000")
    assert span.name == "GET"
    assert span.attributes == {
        "http.request.method": "GET",
        "tollhouse.upstream": "jobs",
        "tollhouse.upstream_target": "10.0.1.1:9000",
        "server.address": "10.0.1.1",
        "server.port": 9000,
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("10.0.1.1:9000", "10.0.1.1", 9000),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
        ("unix:/run/app.sock", "/run/app.sock", None),
        ("jobs.internal:443", "jobs.internal", 443),
        ("jobs", "jobs", None),
    ],
)
def test_a_target_is_taken_apart(target: str, address: str, port: int | None) -> None:
    attributes = client(upstream_target=target).attributes
    assert attributes["server.address"] == address
    assert attributes.get("server.port") == port


@pytest.mark.parametrize(
    "authority", [b"", b"api.test", b"api.test:", b"[::1]", b"api.test:99999999"]
)
def test_a_host_without_a_usable_port_has_none(authority: bytes) -> None:
    outcome = make_outcome()
    outcome.head.authority = authority
    attributes = written(outcome)[0].attributes
    assert "server.port" not in attributes
    assert ("server.address" in attributes) is bool(authority)


def test_times_are_those_of_the_clock_on_the_wall() -> None:
    outer, inner = written(make_outcome(started=1_000.5, duration=0.25, upstream_duration=0.125))
    assert outer.starts_at == 1_700_000_000_500_000_000
    assert outer.ends_at == outer.starts_at + 250_000_000
    assert inner.starts_at == outer.starts_at + 125_000_000
    assert inner.ends_at == outer.ends_at


def test_what_an_upstream_was_asked_never_begins_before_the_request() -> None:
    outer, inner = written(make_outcome(duration=0.25, upstream_duration=0.2500001))
    assert inner.starts_at == outer.starts_at


def test_a_refusal_that_is_the_client_s_fault_is_no_error_of_ours() -> None:
    (span,) = written(
        make_outcome(status=401, reason=Reason.KEY_REVOKED, source="gateway", upstream="")
    )
    assert not span.is_error
    assert span.attributes["tollhouse.reason"] == "key_revoked"
    assert "error.type" not in span.attributes


def test_a_failure_of_the_upstream_is_an_error_of_both_spans() -> None:
    outer, inner = written(make_outcome(status=504, reason=Reason.UPSTREAM_TIMEOUT))
    for span in (outer, inner):
        assert span.is_error
        assert span.attributes["error.type"] == "upstream_timeout"
    assert "tollhouse.upstream_target" not in inner.attributes


@pytest.mark.parametrize(
    ("status", "of_the_server", "of_the_client"),
    [(404, None, "404"), (500, "500", "500"), (200, None, None)],
)
def test_an_upstream_s_status_is_an_error_for_whom_the_conventions_say(
    status: int, of_the_server: str | None, of_the_client: str | None
) -> None:
    outer, inner = written(make_outcome(status=status))
    assert outer.attributes.get("error.type") == of_the_server
    assert inner.attributes.get("error.type") == of_the_client


@pytest.mark.parametrize(
    ("ended", "of_the_server", "of_the_client"),
    [
        ("upstream_broke", "upstream_broke", "upstream_broke"),
        ("timeout", "timeout", "timeout"),
        ("cut", "cut", "cut"),
        ("client_gone", None, "client_gone"),
    ],
)
def test_a_response_that_broke_off_is_an_error(
    ended: str, of_the_server: str | None, of_the_client: str
) -> None:
    outer, inner = written(make_outcome(ended=ended))
    assert outer.attributes["tollhouse.ended"] == ended
    assert outer.attributes.get("error.type") == of_the_server
    assert inner.attributes["error.type"] == of_the_client


def test_a_request_that_matched_nothing_is_named_by_its_method_alone() -> None:
    span = server(route="__unmatched__", reason=Reason.NO_ROUTE, status=404, upstream="")
    assert span.name == "GET"
    assert "http.route" not in span.attributes
    assert span.attributes["tollhouse.route"] == "__unmatched__"


def test_a_request_that_was_not_answered_has_no_status() -> None:
    span = server(status=0, ended="client_gone", source="gateway", upstream="")
    assert "http.response.status_code" not in span.attributes
    assert not span.is_error


def test_an_unknown_method_names_no_span() -> None:
    outer, inner = written(make_outcome(method="BREW"))
    assert (outer.name, inner.name) == ("HTTP /v1", "HTTP")
    assert outer.attributes["http.request.method"] == "_OTHER"
    assert outer.attributes["http.request.method_original"] == "BREW"


def test_an_older_protocol_is_named() -> None:
    outcome = make_outcome()
    outcome.head.is_http_10 = True
    assert written(outcome)[0].attributes["network.protocol.version"] == "1.0"


@pytest.mark.parametrize(
    "fields",
    [
        {"target": f"/v1/{TOKEN}".encode()},
        {"target": f"/v1?api_key={TOKEN}".encode()},
        {"target": b"/v1?password=hunter2hunter2"},
        {"target": f"/v1?x=%73k_live_{TOKEN[8:]}".encode()},
        {"user_agent": f"evil {TOKEN}".encode()},
        {"method": TOKEN},
        {"request_id": TOKEN.encode()},
    ],
)
def test_no_span_tells_a_secret(fields: dict[str, Any]) -> None:
    spans = written(make_outcome(**fields))
    text = repr([(span.name, span.attributes) for span in spans])
    assert TOKEN[8:] not in text
    assert "hunter2" not in text
    assert MASK in text


def test_a_host_tells_no_secret() -> None:
    outcome = make_outcome()
    outcome.head.authority = TOKEN.encode()
    assert TOKEN[8:] not in repr(written(outcome)[0].attributes)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_any_bytes_make_text_of_bounded_length(target: bytes, agent: bytes) -> None:
    outcome = make_outcome(target=target * 100, user_agent=agent * 100)
    for span in written(outcome):
        for value in span.attributes.values():
            str(value).encode()  # no surrogates
            assert len(str(value)) <= TEXT_LENGTH_MAX + 1
