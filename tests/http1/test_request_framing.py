"""Where a request's body ends, what becomes of its connection, and what else it asks for."""

from __future__ import annotations

import pytest

from gateway.domain.denial import Reason
from gateway.domain.request import CHUNKED
from tests.http1.heads import accepted, refused

POST = b"POST / HTTP/1.1"
OLD = b"POST / HTTP/1.0"


# ---- content-length


@pytest.mark.parametrize(
    ("value", "length"),
    [(b"0", 0), (b"5", 5), (b"10", 10), (b"\t 5 \t", 5), (b"9" * 18, 10**18 - 1)],
)
@pytest.mark.parametrize("line", [POST, OLD])
def test_a_plain_content_length_is_the_length(value: bytes, length: int, line: bytes) -> None:
    assert accepted(b"Content-Length: " + value, line=line).body_length == length


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"+5", b"-5", b"-0", b"0x5", b"5.0", b"5e1", b"5 5", b"5\t5", b"5,5", b"5, 5", b"5,", b",5", b"5;x",
        b'"5"', b"five", b"\xd9\xa5", b"\xb2", b"5\x0b", b"5_0", b"9" * 19, b"18446744073709551616", b"0" * 18 + b"5",
        b"00", b"05", b"0005", b"0200", b"0" * 18,
    ],
)  # fmt: skip
def test_any_other_content_length_is_refused(value: bytes) -> None:
    assert refused(b"Content-Length: " + value, line=POST) is Reason.INVALID_REQUEST


@pytest.mark.parametrize("second", [b"Content-Length: 5", b"content-length: 6", b"CONTENT-LENGTH:"])
def test_a_repeated_content_length_is_refused_even_if_equal(second: bytes) -> None:
    assert refused(b"Content-Length: 5", second, line=POST) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "name",
    [
        b"Content_Length",
        b"Content-Length ",
        b" Content-Length",
        b"Content-Length\x00",
        b"Content Length",
    ],
)
def test_no_other_spelling_is_a_content_length(name: bytes) -> None:
    if name == b"Content_Length":
        assert accepted(name + b": 5", line=POST).body_length == 0
    else:
        assert refused(name + b": 5", line=POST) is Reason.INVALID_REQUEST


# ---- transfer-encoding


@pytest.mark.parametrize(
    "value", [b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b"\t chunked \t"]
)
def test_exactly_chunked_is_chunked(value: bytes) -> None:
    assert accepted(b"Transfer-Encoding: " + value, line=POST).body_length == CHUNKED
    assert accepted(b"tRANSFER-eNCODING:" + value, line=POST).body_length == CHUNKED


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b",", b"xchunked", b"chunkedx", b"chunked;x", b"chunked;x=1", b"chunked, identity", b"chunked, gzip",
        b"chunked, chunked", b"chunked,", b",chunked", b", chunked", b"gzip", b"identity", b'"chunked"', b"'chunked'",
        b"chun ked", b"chunked chunked", b"\x0bchunked", b"\x0cchunked", b"chunked\x00", b"\xa0chunked",
        b"chunke\xc4\xb1d",
        b"gzip, chunked, chunked", b"chunked, gzip, chunked", b"chunked\r\n ", b"\r\n chunked", b"0x63hunked",
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [(), (b"Connection: upgrade", b"Upgrade: x")])
def test_a_coding_whose_end_is_not_chunked_once_is_refused(
    value: bytes, more: tuple[bytes, ...]
) -> None:
    assert refused(b"Transfer-Encoding: " + value, *more, line=POST) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "value", [b"gzip, chunked", b"deflate,gzip , Chunked", b"gzip;q=1, chunked"]
)
def test_a_coding_that_ends_in_chunked_is_not_implemented(value: bytes) -> None:
    assert refused(b"Transfer-Encoding: " + value, line=POST) is Reason.NOT_IMPLEMENTED


@pytest.mark.parametrize("first", [b"chunked", b"gzip", b"identity", b""])
@pytest.mark.parametrize("second", [b"chunked", b"identity", b"x"])
@pytest.mark.parametrize("more", [(), (b"Connection: upgrade", b"Upgrade: x")])
def test_a_repeated_transfer_encoding_is_refused(
    first: bytes, second: bytes, more: tuple[bytes, ...]
) -> None:
    codings = (b"Transfer-Encoding: " + first, b"Transfer-Encoding: " + second)
    assert refused(*codings, *more, line=POST) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "length", [b"Content-Length: 5", b"Content-Length: 0", b"content-length:5"]
)
@pytest.mark.parametrize("coding", [b"chunked", b"gzip, chunked", b"identity", b"x"])
@pytest.mark.parametrize("more", [(), (b"Connection: upgrade", b"Upgrade: x")])
def test_a_length_beside_a_coding_is_refused_in_any_order(
    length: bytes, coding: bytes, more: tuple[bytes, ...]
) -> None:
    coding = b"Transfer-Encoding: " + coding
    assert refused(length, coding, *more, line=POST) is Reason.INVALID_REQUEST
    assert refused(coding, length, *more, line=POST) is Reason.INVALID_REQUEST


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity"])
def test_http_1_0_knows_no_transfer_encoding(value: bytes) -> None:
    assert refused(b"Transfer-Encoding: " + value, line=OLD) is Reason.INVALID_REQUEST


def test_a_nominated_transfer_encoding_still_frames_the_body() -> None:
    assert (
        accepted(
            b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", line=POST
        ).body_length
        == CHUNKED
    )


# ---- connection


@pytest.mark.parametrize(
    ("line", "fields", "keeps"),
    [
        (POST, (), True), (POST, (b"Connection: close",), False), (POST, (b"Connection: CLOSE",), False),
        (POST, (b"Connection: keep-alive, close",), False), (POST, (b"Connection: x", b"Connection: close"), False),
        (POST, (b"Connection:",), True), (POST, (b"Connection: closed",), True), (OLD, (), False),
        (OLD, (b"Connection: Keep-Alive",), True), (OLD, (b"Connection: keep-alive, close",), False),
        (OLD, (b"Proxy-Connection: keep-alive",), False),
    ],
)  # fmt: skip
def test_the_connection_is_kept_as_the_version_and_the_options_say(
    line: bytes, fields: tuple[bytes, ...], keeps: bool
) -> None:
    assert accepted(*fields, line=line).keeps_alive is keeps


def test_connection_options_are_lower_case_of_all_fields() -> None:
    head = accepted(b"Connection: Authorization,, X-Gateway-Tenant ,", b"connection: TE")
    assert head.connection_options == {b"authorization", b"x-gateway-tenant", b"te"}


@pytest.mark.parametrize("value", [b"a b", b'"close"', b"close;q=1", b"\xff", b"a, b/c"])
def test_a_connection_option_that_is_no_token_is_refused(value: bytes) -> None:
    assert refused(b"Connection: " + value) is Reason.INVALID_REQUEST


# ---- expect


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue"])
def test_an_expectation_waits_only_for_a_body(value: bytes) -> None:
    expect = b"Expect: " + value
    assert accepted(expect, b"Content-Length: 5", line=POST).expects_continue
    assert accepted(expect, b"Transfer-Encoding: chunked", line=POST).expects_continue
    assert not accepted(expect, line=POST).expects_continue
    assert not accepted(expect, b"Content-Length: 0", line=POST).expects_continue
    assert not accepted(b"Content-Length: 5", line=POST).expects_continue


def test_an_expectation_of_http_1_0_is_ignored() -> None:
    assert not accepted(b"Expect: 100-continue", b"Content-Length: 5", line=OLD).expects_continue


@pytest.mark.parametrize("value", [b"", b"200-ok", b"100-continue, x", b"100-continue;x", b"100"])
def test_an_unknown_expectation_is_refused(value: bytes) -> None:
    assert refused(b"Expect: " + value, line=POST) is Reason.INVALID_REQUEST


# ---- upgrade


@pytest.mark.parametrize("protocol", [b"websocket", b"WebSocket", b"IRC/6.9", b"x"])
def test_one_protocol_may_be_asked_for(protocol: bytes) -> None:
    head = accepted(b"Connection: keep-alive, Upgrade", b"Upgrade: " + protocol)
    assert head.upgrade == protocol.lower()


@pytest.mark.parametrize(
    "fields",
    [
        (b"Upgrade: websocket",), (b"Connection: upgrade",), (b"Connection: upgrade", b"Upgrade:"),
        (b"Connection: upgrade", b"Upgrade: websocket, x"), (b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b"),
        (b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 5"),
        (b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked"),
        (b"Connection: close", b"Upgrade: websocket"),
    ],
)  # fmt: skip
def test_an_upgrade_that_cannot_be_honoured_is_an_ordinary_request(
    fields: tuple[bytes, ...],
) -> None:
    assert accepted(*fields).upgrade == b""


@pytest.mark.parametrize(
    "protocol",
    [
        b"h2c",
        b"H2C",
        b"h2",
        b"h2c/1",
        b"h2c-14",
        b"h2-14",
        b"h3-29",
        b"HTTP/2.0",
        b"http/1.1",
        b"h3",
        b"TLS/1.0",
        b"h2c, websocket",
        b"websocket, h2c",
    ],
)
def test_http_in_another_dress_is_never_asked_for(protocol: bytes) -> None:
    head = accepted(
        b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk", b"Upgrade: " + protocol
    )
    assert head.upgrade == b""


def test_http_1_0_cannot_upgrade() -> None:
    assert (
        accepted(b"Connection: upgrade", b"Upgrade: websocket", line=b"GET / HTTP/1.0").upgrade
        == b""
    )


def test_an_upgrade_with_an_empty_body_is_one() -> None:
    assert accepted(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 0").upgrade == b"x"


@pytest.mark.parametrize(
    "value", [b"web socket", b"websocket/", b"/1", b"a/b/c", b'"x"', b"\xff", b"x;h2c"]
)
def test_a_malformed_upgrade_is_refused(value: bytes) -> None:
    assert refused(b"Connection: upgrade", b"Upgrade: " + value) is Reason.INVALID_REQUEST
    assert refused(b"Upgrade: " + value) is Reason.INVALID_REQUEST


# ---- max-forwards


def test_options_that_may_go_no_further_end_here() -> None:
    line = b"OPTIONS /a HTTP/1.1"
    assert accepted(b"Max-Forwards: 0", line=line).ends_here
    assert accepted(b"Max-Forwards: 00", line=line).ends_here
    assert not accepted(b"Max-Forwards: 1", line=line).ends_here
    assert not accepted(line=line).ends_here
    assert not accepted(b"Max-Forwards: 0", line=b"GET /a HTTP/1.1").ends_here


@pytest.mark.parametrize("target", [b"*", b"http://a.test"])
@pytest.mark.parametrize("fields", [(), (b"Max-Forwards: 3",)])
def test_options_about_the_server_as_a_whole_end_here(
    target: bytes, fields: tuple[bytes, ...]
) -> None:
    assert accepted(*fields, line=b"OPTIONS " + target + b" HTTP/1.1").ends_here


@pytest.mark.parametrize(
    "fields", [(b"Max-Forwards: x",), (b"Max-Forwards: -1",), (b"Max-Forwards: 1",) * 2]
)
def test_options_with_a_malformed_hop_count_are_refused(fields: tuple[bytes, ...]) -> None:
    assert refused(*fields, line=b"OPTIONS /a HTTP/1.1") is Reason.INVALID_REQUEST
