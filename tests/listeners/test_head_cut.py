from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.denial import Denial, Reason
from gateway.http1.request_head import HeadLimits
from gateway.listeners.head_cut import cut_head

LIMITS = HeadLimits(target_bytes_max=100, head_bytes_max=400)
HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def reason_of(buffer: bytes) -> Reason | None:
    cut, rest = cut_head(buffer, LIMITS)
    assert not isinstance(cut, bytes)
    assert rest == buffer
    return cut.reason if isinstance(cut, Denial) else None


def test_head_is_cut_and_the_rest_stays() -> None:
    assert cut_head(HEAD + b"rest", LIMITS) == (HEAD, b"rest")


@pytest.mark.parametrize("size", range(1, len(HEAD)))
def test_beginning_of_a_head_is_waited_for(size: int) -> None:
    assert reason_of(HEAD[:size]) is None


def test_one_empty_line_before_a_request_is_read_past() -> None:
    assert cut_head(b"\r\n" + HEAD, LIMITS) == (HEAD, b"")


@pytest.mark.parametrize("beginning", [b"\r", b"\r\n"])
def test_empty_line_stays_until_a_request_follows(beginning: bytes) -> None:
    assert reason_of(beginning) is None


@pytest.mark.parametrize("buffer", [b"\r\n\r", b"\r\n\r\n", b"\r\r", b"\rG", b"\r\n\r\n" + HEAD])
def test_more_than_one_empty_line_is_refused(buffer: bytes) -> None:
    assert reason_of(buffer) is Reason.INVALID_REQUEST


@pytest.mark.parametrize("buffer", [b"\n", b"\x16\x03\x01\x02\x00", b"\x00", b" GET", b"\xff"])
def test_what_is_not_http_is_refused_with_its_first_byte(buffer: bytes) -> None:
    assert reason_of(buffer) is Reason.INVALID_REQUEST


@pytest.mark.parametrize("buffer", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\n"])
def test_bare_line_feed_is_refused_before_the_head_is_whole(buffer: bytes) -> None:
    assert reason_of(buffer) is Reason.INVALID_REQUEST


@pytest.mark.parametrize(
    "line",
    [
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1 x",
        b"EHLO a",
        b"a: b",
        b"GET  /  HTTP/1.1",
        b"NoMethod" * 20,
    ],
)
def test_what_is_no_request_line_is_refused_before_the_head_is_whole(line: bytes) -> None:
    assert reason_of(line + b"\r\n") is Reason.INVALID_REQUEST
    assert reason_of(line + b"\r\nHost: a\r\n") is Reason.INVALID_REQUEST


def test_a_method_without_end_is_refused_early() -> None:
    assert reason_of(b"M" * 64) is None
    assert reason_of(b"M" * 65) is Reason.INVALID_REQUEST


def test_too_long_a_target_is_refused_before_its_line_ends() -> None:
    assert reason_of(b"GET /" + b"a" * 160) is Reason.URI_TOO_LONG
    assert reason_of(b"GET /" + b"a" * 150) is None


def test_too_large_a_head_is_refused_before_it_ends() -> None:
    begun = b"GET / HTTP/1.1\r\n"
    assert reason_of(begun + b"a: b\r\n" * 80) is Reason.HEADERS_TOO_LARGE
    assert reason_of(begun + b"a: b\r\n" * 80 + b"\r\n") is Reason.HEADERS_TOO_LARGE
    assert reason_of(begun + b"a: b\r\n" * 60) is None


@given(st.binary(min_size=1, max_size=600))
def test_any_bytes_are_cut_waited_for_or_refused_and_never_lost(buffer: bytes) -> None:
    cut, rest = cut_head(buffer, LIMITS)
    if isinstance(cut, bytes):
        assert cut.endswith(b"\r\n\r\n")
        assert cut.count(b"\r\n\r\n") == 1
        assert buffer in {cut + rest, b"\r\n" + cut + rest}
    else:
        assert buffer in {rest, b"\r\n" + rest}


@given(st.integers(0, len(HEAD) * 2))
def test_where_the_network_splits_a_head_does_not_matter(at: int) -> None:
    whole = b"\r\n" + HEAD + HEAD
    buffer, heads = whole[:at], []
    for more in (whole[at:], b""):
        while buffer:
            cut, buffer = cut_head(buffer, LIMITS)
            if not isinstance(cut, bytes):
                break
            heads.append(cut)
        buffer += more
    assert heads == [HEAD, HEAD]
