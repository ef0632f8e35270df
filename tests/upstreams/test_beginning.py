"""The beginning of a response, in whatever pieces it comes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.request import ResponseHead
from gateway.http1.fields import MessageError
from gateway.http1.response_head import ResponseHeadReader
from gateway.upstreams.beginning import HEADS_BYTES_MAX, Beginning

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def beginning() -> Beginning:
    return Beginning(ResponseHeadReader())


def read(reader: Beginning, *pieces: bytes) -> tuple[ResponseHead, bytes] | None:
    found = None
    for piece in pieces:
        assert found is None
        found = reader.read(piece, to_head_request=False)
    return found


def refused(*pieces: bytes) -> str:
    with pytest.raises(MessageError) as caught:
        read(beginning(), *pieces)
    return str(caught.value)


@given(st.integers(0, 3), st.sets(st.integers(1, len(HINTS) * 3 + len(HEAD) - 1)), st.binary())
def test_final_head_is_found_in_any_pieces(hints: int, cuts: set[int], rest: bytes) -> None:
    raw = HINTS * hints + HEAD
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pieces = [raw[start:end] for start, end in itertools.pairwise(places)]
    reader = beginning()
    for _ in range(2):  # and again for the next response
        found = read(reader, *pieces[:-1], pieces[-1] + rest)
        assert found is not None
        assert (found[0].status, found[1]) == (200, rest)
        assert reader.is_empty
        assert not reader.is_unfinished


def test_what_came_so_far_is_told() -> None:
    reader = beginning()
    assert (reader.is_empty, reader.is_unfinished) == (True, False)
    assert read(reader, HINTS) is None
    assert (reader.is_empty, reader.is_unfinished) == (False, False)
    assert read(reader, b"H") is None
    assert (reader.is_empty, reader.is_unfinished) == (False, True)


def test_a_switch_of_protocols_is_final() -> None:
    switch = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"
    found = read(beginning(), HINTS + switch + b"frames")
    assert found is not None
    assert (found[0].status, found[1]) == (101, b"frames")


@pytest.mark.parametrize("interim", [HINTS, b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_interim_responses_do_not_go_on_for_ever(interim: bytes) -> None:
    allowed = (HEADS_BYTES_MAX - len(HEAD)) // len(interim)
    assert read(beginning(), interim * allowed + HEAD) is not None
    assert read(beginning(), *[interim] * allowed, HEAD) is not None
    too_many = HEADS_BYTES_MAX // len(interim) + 1
    assert "65536 bytes" in refused(interim * too_many + HEAD)
    assert "65536 bytes" in refused(*[interim] * too_many)


def test_head_is_bounded_in_bytes() -> None:
    def head(size: int) -> bytes:
        return HEAD[:-2] + b"X: " + b"x" * (size - len(HEAD) - 5) + b"\r\n\r\n"

    assert read(beginning(), head(HEADS_BYTES_MAX)) is not None
    assert "65536 bytes" in refused(head(HEADS_BYTES_MAX + 5))
    assert "65536 bytes" in refused(head(HEADS_BYTES_MAX + 1)[:-4], b"\r\n\r\n")
    assert "65536 bytes" in refused(HINTS + head(HEADS_BYTES_MAX))


@pytest.mark.parametrize(
    "pieces", [(b"SSH-2.0-x",), (b"HTTX",), (b"HTT", b"X"), (b"\r\nHTTP/1.1",)]
)
def test_what_is_no_http_is_refused_at_its_first_wrong_byte(pieces: tuple[bytes, ...]) -> None:
    assert "not HTTP/1" in refused(*pieces)
    assert "not HTTP/1" in refused(HINTS + pieces[0], *pieces[1:])


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\nA",), (b"HTTP/1.1 200 OK", b"\n"), (b"HTTP/1.1 200 OK\r", b"\n", b"A: b\n"),
        (b"HTTP/1.1 200 OK\r\nA: b\n",), (b"HTTP/1.1 200 OK\r\n\n",),
    ],
)  # fmt: skip
def test_line_without_its_cr_is_refused_at_once(pieces: tuple[bytes, ...]) -> None:
    assert "does not end in CRLF" in refused(*pieces)


def test_line_may_be_cut_within_its_end() -> None:
    assert read(beginning(), b"HTTP/1.1 200 OK\r", b"\nContent-Length: 0\r", b"\n\r", b"\n")
