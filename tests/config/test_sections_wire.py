"""Addresses, hosts, methods, fields and patterns as HTTP and IP know them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gateway.config.sections.target import Target
from gateway.config.sections.wire import (
    Bind,
    FieldName,
    FieldValue,
    HostPattern,
    Link,
    Method,
    Network,
    OptionalFieldName,
    Regex,
    UpstreamHost,
    split_bind,
)


def complaint(kind: Any, value: str) -> str:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return ""


@pytest.mark.parametrize(
    ("bind", "parts"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("unix:data/admin.sock", ("data/admin.sock", -1)),
        ("unix:/run/x", ("/run/x", -1)),
    ],
)
def test_bind_is_split_into_host_and_port_or_path(bind: str, parts: tuple[str, int]) -> None:
    assert split_bind(bind) == parts
    assert complaint(Bind, bind) == ""


@pytest.mark.parametrize(
    "bind", ["", "8080", ":8080", "127.0.0.1", "::1:80", "[::1]", "a:99999", "unix:", "[1:2]:80"]
)
def test_bind_that_cannot_be_opened_is_refused(bind: str) -> None:
    assert complaint(Bind, bind)


@given(st.text(max_size=30))
def test_any_bind_is_split_or_refused(text: str) -> None:
    try:
        host, port = split_bind(text)
    except ValueError:
        return
    assert host
    assert -1 <= port <= 65535


@pytest.mark.parametrize("text", ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::1", "0.0.0.0/0"])
def test_address_and_range_are_networks(text: str) -> None:
    assert complaint(Network, text) == ""


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.0/33", "example.com", "1.2.3.4-1.2.3.9"])
def test_what_is_no_network_is_refused(text: str) -> None:
    assert complaint(Network, text) == "is not an IP address or CIDR range"


def test_range_with_host_bits_is_corrected() -> None:
    assert "did you mean '10.0.0.0/8'?" in complaint(Network, "10.1.2.3/8")


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:9000", "http://jobs.internal", "http://[::1]:80/base", "http+unix:/run/a.sock",
     "http://app_1:8000/api/v2/", "https://x", "https://x:8443/base", "http+unix:/run/a.sock:/base/"],
)  # fmt: skip
def test_target_is_an_http_url_or_a_socket(target: str) -> None:
    assert complaint(Target, target) == ""


@pytest.mark.parametrize(
    "target",
    ["", "https://", "https://x:443?q", "http+unix:/a:/b//c", "http://[a]:80",
     "ftp://x", "http://", "http://user:pw@x", "http://x?q", "http://x#f", "http://x:0",
     "http://x:99999", "http://x:y", "http://x y", "http://x//base", "http://x/a b",
     "http+unix:", "http+unix:relative", "http+unix://host/x", "127.0.0.1:80"],
)  # fmt: skip
def test_target_that_is_something_else_is_refused(target: str) -> None:
    assert complaint(Target, target)


def test_password_in_a_target_is_not_repeated() -> None:
    assert "hunter2" not in complaint(Target, "http://user:hunter2@x")


def test_connect_and_trace_are_never_routed() -> None:
    assert complaint(Method, "CONNECT") == "is never routed"
    assert complaint(Method, "TRACE") == "is never routed"
    assert complaint(Method, "GET") == complaint(Method, "*") == complaint(Method, "M-SEARCH") == ""


def test_method_in_lower_case_is_corrected() -> None:
    assert "did you mean 'GET'?" in complaint(Method, "get")
    assert "did you mean" not in complaint(Method, "G T")


@pytest.mark.parametrize(
    "name", ["Connection", "transfer-encoding", "Content-Length", "Host", "TE"]
)
def test_fields_that_frame_a_message_cannot_be_configured(name: str) -> None:
    assert "cannot be configured" in complaint(FieldName, name)


def test_field_name_is_a_token() -> None:
    assert complaint(FieldName, "X-Environment") == ""
    assert complaint(FieldName, "X Y")
    assert complaint(FieldName, "X:")
    assert complaint(FieldName, "")
    assert complaint(OptionalFieldName, "") == ""
    assert complaint(OptionalFieldName, "Upgrade")


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", " a", "a ", "ä", "a\0b"])
def test_field_value_can_start_no_new_line(value: str) -> None:
    assert complaint(FieldValue, value)


def test_field_value_is_printable_text() -> None:
    assert complaint(FieldValue, "") == ""
    assert complaint(FieldValue, "a") == ""
    assert complaint(FieldValue, "Basic dXNlcg==, b\tc") == ""


def test_regex_that_does_not_compile_is_refused() -> None:
    assert complaint(Regex, "/v1/[0-9]+") == complaint(Regex, "") == ""
    assert "not a regular expression" in complaint(Regex, "/v1/(")
    assert "not a regular expression" in complaint(Regex, "a{99999999999999999999}")


def test_host_names_are_lower_case_and_without_port() -> None:
    for host in ("api.example.com", "*.example.com", "localhost", "[::1]", "10.0.0.1"):
        assert complaint(HostPattern, host) == ""
    for host in ("API.example.com", "a:80", "*", "a.*.b", "", "-a.com", "a..b"):
        assert complaint(HostPattern, host)
    for host in ("preserve", "upstream", "jobs.internal:8080"):
        assert complaint(UpstreamHost, host) == ""
    assert complaint(UpstreamHost, "a b")


def test_link_is_empty_or_a_web_address() -> None:
    assert complaint(Link, "") == complaint(Link, "https://docs.example.com/api") == ""
    assert complaint(Link, "javascript:alert(1)")
    assert complaint(Link, 'https://x/"><script>')
