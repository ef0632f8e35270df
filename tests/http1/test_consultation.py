"""Questions of proxies: each proxy's own fields say what its client asked for, and a client's say nothing."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import RequestHead
from gateway.http1.consultation import Unanswerable, asked, is_from_nginx
from gateway.http1.request_head import HeadLimits, RequestHeadReader

HOST = "Host: auth.internal"


def question(target: str, *lines: str, method: str = "GET") -> RequestHead:
    raw = "\r\n".join((f"{method} {target} HTTP/1.1", *lines)).encode("latin-1") + b"\r\n\r\n"
    read = RequestHeadReader(HeadLimits()).read(raw)
    assert isinstance(read, RequestHead), read
    return read


def answered(target: str, *lines: str, method: str = "GET") -> list[str]:
    """Return the lines of the request that a question is about."""
    raw = asked(question(target, *lines, method=method)).decode("latin-1")
    assert raw.endswith("\r\n\r\n")
    return raw[:-4].split("\r\n")


NGINX = ("X-Original-Method: POST", "X-Original-URI: /v1/jobs?x=%20a")
FORWARDED = ("X-Forwarded-Method: POST", "X-Forwarded-Uri: /v1/jobs?x=%20a")


def test_nginx_tells_method_and_target_in_fields_of_its_own() -> None:
    assert answered("/nginx", HOST, *NGINX) == [
        "POST /v1/jobs?x=%20a HTTP/1.1",
        "Host: auth.internal",
    ]
    assert answered("/nginx", HOST, *NGINX, "X-Original-Host: api.test:8443")[1] == (
        "Host: api.test:8443"
    )


@pytest.mark.parametrize("path", ["/traefik", "/caddy"])
def test_traefik_and_caddy_tell_method_target_and_host(path: str) -> None:
    lines = answered(path, HOST, *FORWARDED, "X-Forwarded-Host: api.test")
    assert lines == ["POST /v1/jobs?x=%20a HTTP/1.1", "Host: api.test"]


def test_envoy_asks_with_the_request_itself_behind_a_prefix() -> None:
    lines = answered("/envoy/v1/jobs?x=1", "Host: api.test", "Accept: */*", method="DELETE")
    assert lines == ["DELETE /v1/jobs?x=1 HTTP/1.1", "Host: api.test", "Accept: */*"]


def test_a_path_that_envoy_passes_on_is_not_taken_for_another_proxy() -> None:
    lines = answered("/envoy/nginx", HOST, *NGINX)
    assert lines == ["GET /nginx HTTP/1.1", HOST]


def test_a_query_that_a_proxy_appends_says_nothing() -> None:
    assert answered("/caddy?x-forwarded-uri=/open", HOST, *FORWARDED)[0] == (
        "POST /v1/jobs?x=%20a HTTP/1.1"
    )


@pytest.mark.parametrize(
    ("target", "is_nginx"),
    [("/nginx", True), ("/nginx?x", True), ("/caddy", False), ("/envoy/nginx", False)],
)
def test_nginx_is_known_by_its_path(target: str, is_nginx: bool) -> None:
    assert is_from_nginx(question(target, HOST)) is is_nginx


def test_what_a_client_sends_for_another_proxy_than_ours_means_nothing() -> None:
    forged = ("X-Forwarded-Method: GET", "X-Forwarded-Uri: /open", "X-Forwarded-Host: evil.test")
    assert answered("/nginx", HOST, *NGINX, *forged) == [
        "POST /v1/jobs?x=%20a HTTP/1.1",
        "Host: auth.internal",
    ]
    other = ("X-Original-Method: GET", "X-Original-URI: /open")
    assert answered("/caddy", HOST, *FORWARDED, *other)[0].startswith("POST /v1/jobs")
    assert answered("/envoy/v1", HOST, *other, *FORWARDED)[0] == "GET /v1 HTTP/1.1"


def test_the_fields_of_the_client_come_along_and_those_of_the_question_do_not() -> None:
    lines = answered(
        "/nginx",
        HOST,
        *NGINX,
        "Authorization: Bearer abc",
        "Accept: application/json",
        "traceparent: 00-1-2-01",
        "X-Forwarded-For: 192.0.2.1",
        "X-Real-IP: 192.0.2.1",
        "X-Request-Id: r",
        "Content-Length: 0",
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "X-Envoy-Internal: true",
        "Forwarded: for=192.0.2.1",
        "X-Original-Anything: 1",
        "Via: 1.1 tollhouse",
        "X-Company: 7",
    )
    assert lines[2:] == [
        "Authorization: Bearer abc",
        "Accept: application/json",
        "traceparent: 00-1-2-01",
        "X-Company: 7",
    ]


@pytest.mark.parametrize(
    ("target", "lines", "why"),
    [
        ("/nginx", NGINX[:1], "x-original-uri is missing"),
        ("/nginx", NGINX[1:], "x-original-method is missing"),
        ("/nginx", (*NGINX, "X-Original-URI: /other"), "x-original-uri comes twice"),
        ("/nginx", (*NGINX, "X-Original-Method: GET"), "x-original-method comes twice"),
        ("/nginx", (NGINX[0], "X-Original-URI:"), "x-original-uri is missing"),
        (
            "/nginx",
            (*NGINX, "X-Original-Host: a", "X-Original-Host: b"),
            "x-original-host comes twice",
        ),
        ("/traefik", NGINX, "x-forwarded-method is missing"),
        ("/nginx", (NGINX[0], "X-Original-URI: v1/jobs"), "does not begin with"),
        ("/nginx", (NGINX[0], "X-Original-URI: *"), "does not begin with"),
        ("/nginx", (NGINX[0], "X-Original-URI: http://evil.test/v1"), "does not begin with"),
        ("/nginx/", NGINX, "nobody is told of"),
        ("/NGINX", NGINX, "nobody is told of"),
        ("/", NGINX, "nobody is told of"),
        ("/envoy", (), "nobody is told of"),
        ("/envoyant", (), "nobody is told of"),
    ],
)
def test_a_question_that_does_not_say_what_it_is_about_is_not_answered(
    target: str, lines: tuple[str, ...], why: str
) -> None:
    with pytest.raises(Unanswerable, match=why):
        asked(question(target, HOST, *lines))


VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)


@given(VALUE, VALUE, VALUE)
def test_no_value_of_a_question_can_be_more_than_the_part_that_it_stands_for(
    method: str, target: str, host: str
) -> None:
    """What is read back is the method, target and host that were told, or nothing at all."""
    lines = (
        f"X-Original-Method: {method}",
        f"X-Original-URI: /{target}",
        f"X-Original-Host: {host}",
    )
    raw = asked(question("/nginx", HOST, *lines, "Authorization: Bearer abc"))
    read = RequestHeadReader(HeadLimits()).read(raw)
    if isinstance(read, RequestHead):
        assert (read.method, read.target.decode()) == (method, f"/{target}")
        assert read.authority.decode() == re.sub(
            r"\.(?=:|$)", "", host, count=1
        )  # but for a final dot
        assert read.authorization == (b"Bearer abc",)
