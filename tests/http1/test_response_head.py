from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.request import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.http1.fields import MessageError
from gateway.http1.response_head import ResponseHeadReader

OK = b"HTTP/1.1 200 OK"


def response(*fields: bytes, line: bytes = OK) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def read(*fields: bytes, line: bytes = OK, to_head_request: bool = False) -> ResponseHead:
    return ResponseHeadReader().read(response(*fields, line=line), to_head_request=to_head_request)


def refused(*fields: bytes, line: bytes = OK, to_head_request: bool = False) -> str:
    with pytest.raises(MessageError) as caught:
        read(*fields, line=line, to_head_request=to_head_request)
    return str(caught.value)


# ---- status line


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"), (b"HTTP/1.1 200 ", 200, b""), (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.0 404 Not  Found\t!", 404, b"Not  Found\t!"),
        (b"HTTP/1.1 599 caf\xc3\xa9 \xff", 599, b"caf\xc3\xa9 \xff"),
        (b"HTTP/1.1 100 Continue", 100, b"Continue"),
    ],
)  # fmt: skip
def test_a_status_line_is_read(line: bytes, status: int, reason: bytes) -> None:
    head = read(line=line)
    assert (head.status, head.reason) == (status, reason)
    assert head.is_http_10 is (line[7:8] == b"0")


@pytest.mark.parametrize(
    "line",
    [
        b"", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1  200 OK", b" HTTP/1.1 200 OK",
        b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200OK", b"HTTP/1.1 200\tOK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1 2 0 OK",
        b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK", b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1 600 OK",
        b"HTTP/1.1 999 OK",
        b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"http/1.1 200 OK", b"ICY 200 OK",
        b"HTTP/11 200 OK",
        b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 O\nK", b"HTTP/1.1 200 O\x1bK",
        b"HTTP/1.1 200 OK\x7f",
        b"HTTP/1.1 200 OK\r", b"HTTP/1.1 200 OK\nX: y", b"200 OK", b"<html>", b"\r\nHTTP/1.1 200 OK",
    ],
)  # fmt: skip
def test_any_other_status_line_is_refused(line: bytes) -> None:
    assert "RFC 9112 section" in refused(line=line)


# ---- fields


@pytest.mark.parametrize(
    "line",
    [
        b"A : b", b" A: b", b"A: b\r\n c", b"A: b\nC: d", b"A: b\rC: d", b"A: b\x00", b": b", b"A", b"A\xe9: b",
        b"A: \x7f", b"A: b\r\n\nC: d", b"A: b\r\n\rC: d",
    ],
)  # fmt: skip
def test_what_is_no_field_line_is_refused(line: bytes) -> None:
    assert "RFC 9112" in refused(line)
    assert "RFC 9112" in refused(line, b"Content-Length: 0")


def test_fields_keep_order_spelling_multiplicity_and_opaque_bytes() -> None:
    head = read(b"Set-Cookie: a=1, b", b"X: \xff", b"SET-COOKIE:  a=2\t", b"Content-Length: 0")
    assert head.fields[:3] == (
        (b"set-cookie", b"Set-Cookie", b"a=1, b"),
        (b"x", b"X", b"\xff"),
        (b"set-cookie", b"SET-COOKIE", b"a=2"),
    )


def test_there_may_be_two_hundred_fields() -> None:
    assert len(read(*[b"A: b"] * 200).fields) == 200
    assert refused(*[b"A: b"] * 201) == "more than 200 fields"


# ---- length (RFC 9112 section 6.3)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), UNTIL_CLOSE), ((b"Content-Length: 0",), 0), ((b"Content-Length: 007",), 7), ((b"Content-Length:\t5 ",), 5),
        ((b"Transfer-Encoding: chunked",), CHUNKED), ((b"transfer-encoding: CHUNKED \t",), CHUNKED),
        ((b"Connection: close",), UNTIL_CLOSE), ((b"Content_Length: 5",), UNTIL_CLOSE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [b"200", b"203", b"205", b"302", b"404", b"500"])
def test_the_length_of_a_body(fields: tuple[bytes, ...], length: int, status: bytes) -> None:
    assert read(*fields, line=b"HTTP/1.1 " + status + b" x").body_length == length


@pytest.mark.parametrize("fields", [(), (b"Content-Length: 5",), (b"Transfer-Encoding: chunked",)])
def test_some_responses_have_no_body_whatever_their_fields_say(fields: tuple[bytes, ...]) -> None:
    for status in (b"204", b"304"):
        assert read(*fields, line=b"HTTP/1.1 " + status + b" x").body_length == 0
    for status in (b"200", b"404"):
        assert (
            read(*fields, line=b"HTTP/1.1 " + status + b" x", to_head_request=True).body_length == 0
        )


@pytest.mark.parametrize("status", [b"100", b"102", b"103", b"199"])
def test_an_interim_response_has_no_content(status: bytes) -> None:
    line = b"HTTP/1.1 " + status + b" x"
    assert read(line=line).body_length == read(b"Content-Length: 0", line=line).body_length == 0
    for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        assert "interim" in refused(field, line=line)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5"), (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",), (b"Content-Length: +5",), (b"Content-Length: -1",), (b"Content-Length: 0x5",),
        (b"Content-Length:",), (b"Content-Length: 5 5",), (b"Content-Length: " + b"9" * 19,),
        (b"Content-Length: 5", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding: gzip",), (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: identity",), (b"Transfer-Encoding:",), (b"Transfer-Encoding: chunked;x",),
        (b"Transfer-Encoding: \x0bchunked",), (b"Transfer-Encoding : chunked",),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [b"200", b"204", b"304", b"103"])
@pytest.mark.parametrize("to_head_request", [False, True])
def test_doubt_about_the_length_is_refused_even_where_there_is_no_body(
    fields: tuple[bytes, ...], status: bytes, to_head_request: bool
) -> None:
    assert "RFC 91" in refused(
        *fields, line=b"HTTP/1.1 " + status + b" x", to_head_request=to_head_request
    )


def test_http_1_0_knows_no_transfer_encoding() -> None:
    assert "transfer-encoding" in refused(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK")


# ---- connection


@pytest.mark.parametrize(
    ("line", "fields", "keeps"),
    [
        (OK, (b"Content-Length: 0",), True), (OK, (b"Content-Length: 0", b"Connection: Close"), False),
        (OK, (b"Transfer-Encoding: chunked",), True), (OK, (), False), (OK, (b"Connection: keep-alive",), False),
        (b"HTTP/1.1 204 x", (), True), (b"HTTP/1.1 304 x", (), True),
        (b"HTTP/1.1 204 x", (b"Content-Length: 0",), True), (b"HTTP/1.1 204 x", (b"Content-Length: 5",), False),
        (b"HTTP/1.1 204 x", (b"Transfer-Encoding: chunked",), False),
        (b"HTTP/1.1 304 x", (b"Content-Length: 5",), True), (b"HTTP/1.1 304 x", (b"Transfer-Encoding: chunked",), True),
        (b"HTTP/1.0 200 OK", (b"Content-Length: 0",), False),
        (b"HTTP/1.0 200 OK", (b"Content-Length: 0", b"Connection: Keep-Alive"), True),
        (b"HTTP/1.0 200 OK", (b"Connection: Keep-Alive",), False),
    ],
)  # fmt: skip
def test_a_connection_is_used_again_only_if_its_end_is_no_sign(
    line: bytes, fields: tuple[bytes, ...], keeps: bool
) -> None:
    assert read(*fields, line=line).keeps_alive is keeps


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"timeout=5", 3), (b"timeout=60, max=100", 58), (b"max=9; Timeout = \"4\"", 2), (b"timeout=3", 1.5),
        (b"timeout=1", 0.5), (b"", 0), (b"max=5", 0), (b"xtimeout=5", 0), (b"timeout=", 0), (b"timeout=-1", 0),
    ],
)  # fmt: skip
def test_how_long_an_idle_connection_is_kept_is_told_by_keep_alive(
    field: bytes, seconds: float
) -> None:
    head = read(b"Content-Length: 0", b"Keep-Alive: " + field)
    assert (head.keeps_alive, head.idle_seconds_max) == (True, seconds)


def test_a_connection_that_is_kept_for_no_time_is_not_kept() -> None:
    assert not read(b"Content-Length: 0", b"Keep-Alive: timeout=0").keeps_alive


def test_nominated_fields_are_known() -> None:
    assert read(b"Connection: X-A, close").connection_options == {b"x-a", b"close"}
    assert "not a token" in refused(b"Connection: a b")


# ---- 101


def test_a_switch_of_protocols_names_the_new_one() -> None:
    line = b"HTTP/1.1 101 Switching Protocols"
    head = read(b"Connection: Upgrade", b"Upgrade: WebSocket", line=line)
    assert (head.upgrade, head.body_length) == (b"websocket", 0)
    assert read(b"Upgrade: websocket", line=OK).upgrade == b""


@pytest.mark.parametrize(
    "fields",
    [(), (b"Upgrade:",), (b"Upgrade: a, b",), (b"Upgrade: a", b"Upgrade: b"), (b"Upgrade: a b",)],
)
def test_a_switch_to_nothing_in_particular_is_refused(fields: tuple[bytes, ...]) -> None:
    assert "upgrade" in refused(b"Connection: upgrade", *fields, line=b"HTTP/1.1 101 x")


def test_a_switch_that_is_no_connection_option_is_refused() -> None:
    assert "upgrade" in refused(b"Upgrade: a", b"Connection: keep-alive", line=b"HTTP/1.1 101 x")


def test_http_1_0_cannot_switch() -> None:
    assert "101" in refused(b"Connection: upgrade", b"Upgrade: a", line=b"HTTP/1.0 101 x")


# ---- memory and arbitrary bytes


def test_a_head_that_comes_again_is_not_read_again() -> None:
    reader = ResponseHeadReader()
    raw = response(b"Content-Length: 5")
    first = reader.read(raw, to_head_request=False)
    assert reader.read(bytes(raw), to_head_request=False) is first
    assert reader.read(raw, to_head_request=True).body_length == 0


def test_the_memory_is_bounded_in_heads_and_in_bytes() -> None:
    reader = ResponseHeadReader(remembered_max=2)

    def again(*fields: bytes) -> ResponseHead:
        return reader.read(response(*fields), to_head_request=False)

    first = again(b"A: 1")
    assert again(b"A: 1") is first
    for number in (b"2", b"3", b"4"):
        again(b"A: " + number)
    assert again(b"A: 1") is not first
    assert again(b"A: " + b"a" * 2048) is not again(b"A: " + b"a" * 2048)


PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 101 x\r\n", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 204 \r\n", b"Content-Length: ",
    b"Transfer-Encoding: ", b"Upgrade: ", b"Connection: ", b"upgrade", b"chunked", b"5", b"\r\n", b"\r\n\r\n",
    b"0", b": ",
    b"\x00", b"\xff", b"\n", b"\r", b" ", b",",
]  # fmt: skip
raws = st.one_of(
    st.binary(max_size=200), st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
)


@settings(max_examples=500)
@given(raws, st.booleans())
@example(b"HTTP/1.1 101 x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\nmore", False)
def test_arbitrary_bytes_give_a_head_or_a_message_error(raw: bytes, to_head_request: bool) -> None:
    reader = ResponseHeadReader()
    for whole in (raw + b"\r\n\r\n", OK + b"\r\n" + raw + b"\r\n\r\n"):
        try:
            head = reader.read(whole, to_head_request=to_head_request)
        except MessageError:
            continue
        assert reader.read(whole, to_head_request=to_head_request) is head
        assert 100 <= head.status <= 599
