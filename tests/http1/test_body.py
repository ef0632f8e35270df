from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.request import CHUNKED, UNTIL_CLOSE
from gateway.http1.body import (
    LAST_CHUNK,
    Body,
    ChunkedBody,
    LengthBody,
    UntilCloseBody,
    body_reader,
    chunk,
)
from gateway.http1.fields import MessageError

REST = b"GET / HTTP/1.1\r\n"


def feed_all(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Feed until the body is whole; return its content and everything behind it."""
    content, rest = b"", b""
    for piece in pieces:
        if body.is_complete:
            rest += piece
            continue
        more, rest = body.feed(piece)
        content += more
        assert not rest or body.is_complete
    return content, rest


def refuses(data: bytes) -> None:
    """Assert that `data` is refused whether it comes at once or byte by byte."""
    with pytest.raises(MessageError, match="section 7"):
        ChunkedBody().feed(data)
    with pytest.raises(MessageError, match="section 7"):
        feed_all(ChunkedBody(), [data[i : i + 1] for i in range(len(data))])


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


# ---- which reader


def test_each_kind_of_length_has_its_reader() -> None:
    assert isinstance(body_reader(CHUNKED), ChunkedBody)
    assert isinstance(body_reader(UNTIL_CLOSE), UntilCloseBody)
    assert isinstance(body_reader(5), LengthBody)
    assert body_reader(0).is_complete
    assert not body_reader(1).is_complete


# ---- known length


def test_a_body_of_no_bytes_takes_none() -> None:
    assert LengthBody(0).feed(REST) == (b"", REST)
    assert LengthBody(0).end()


@given(st.binary(min_size=1), st.binary(), st.lists(st.integers(0)))
def test_a_known_length_takes_exactly_its_bytes(
    content: bytes, rest: bytes, cuts: list[int]
) -> None:
    body = LengthBody(len(content))
    assert not body.end()
    assert feed_all(body, split(content + rest, cuts)) == (content, rest)
    assert body.is_complete
    assert body.end()


@given(st.binary(min_size=1))
def test_a_short_body_is_not_whole_at_the_end(content: bytes) -> None:
    body = LengthBody(len(content) + 1)
    assert body.feed(content) == (content, b"")
    assert not body.end()


# ---- until the connection ends


def test_everything_until_the_end_is_content() -> None:
    body = UntilCloseBody()
    assert body.feed(b"0\r\n\r\n") == (b"0\r\n\r\n", b"")
    assert not body.is_complete
    assert body.end()
    assert body.is_complete


# ---- chunked: what is accepted

extensions = st.sampled_from(
    [
        b"",
        b"",
        b";a",
        b";a=b",
        b" ; a = b",
        b'\t;a="q;\\"\r"'.replace(b"\r", b"\\\\"),
        b';a;b="";c="\xff \t"',
    ]
)
trailers = st.lists(
    st.sampled_from([b"X: y", b"a:", b"A:\t\xff ", b"Content-Digest: 5", b"!#: :"]), max_size=3
)


@st.composite
def encoded(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return content and one way of writing it in chunks."""
    contents = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
    wire = b""
    for content in contents:
        size = b"%x" % len(content)
        size = b"0" * draw(st.integers(0, 15 - len(size))) + draw(
            st.sampled_from([size, size.upper()])
        )
        wire += size + draw(extensions) + b"\r\n" + content + b"\r\n"
    wire += b"0" * draw(st.integers(1, 15)) + draw(extensions) + b"\r\n"
    wire += b"".join(line + b"\r\n" for line in draw(trailers))
    return b"".join(contents), wire + b"\r\n"


@settings(max_examples=300)
@given(encoded(), st.sampled_from([b"", REST, b"\r\n", b"0"]), st.lists(st.integers(0), max_size=8))
def test_chunks_give_the_same_content_and_rest_however_they_arrive(
    message: tuple[bytes, bytes], rest: bytes, cuts: list[int]
) -> None:
    content, wire = message
    body = ChunkedBody()
    assert feed_all(body, split(wire + rest, cuts)) == (content, rest)
    assert body.is_complete
    assert body.end()


@settings(max_examples=50)
@given(encoded())
def test_chunks_may_be_split_at_every_boundary(message: tuple[bytes, bytes]) -> None:
    content, wire = message
    for cut in range(len(wire) + 1):
        body = ChunkedBody()
        assert feed_all(body, [wire[:cut], wire[cut:] + REST]) == (content, REST)
    assert feed_all(ChunkedBody(), [wire[i : i + 1] for i in range(len(wire))]) == (content, b"")


@settings(max_examples=50)
@given(encoded())
def test_a_chunked_body_is_whole_with_its_last_byte_and_not_before(
    message: tuple[bytes, bytes],
) -> None:
    content, wire = message
    body = ChunkedBody()
    received, rest = body.feed(wire[:-1])
    assert (received, rest) == (content, b"")
    assert not body.is_complete
    assert not body.end()
    assert body.feed(b"\n") == (b"", b"")
    assert body.end()


@given(st.lists(st.binary(min_size=1)))
def test_what_is_written_is_read_back(contents: list[bytes]) -> None:
    wire = b"".join(map(chunk, contents)) + LAST_CHUNK
    assert ChunkedBody().feed(wire) == (b"".join(contents), b"")


def test_nothing_is_nothing() -> None:
    body = ChunkedBody()
    assert body.feed(b"") == (b"", b"")
    assert body.feed(LAST_CHUNK) == (b"", b"")


def test_content_is_passed_on_before_its_chunk_ends() -> None:
    body = ChunkedBody()
    assert body.feed(b"fffffffffffffff\r\nab") == (b"ab", b"")
    assert body.feed(b"cd") == (b"cd", b"")


# ---- chunked: what is refused


@pytest.mark.parametrize(
    "size",
    [
        b"", b" ", b"0x5", b"0X5", b"x5", b"+5", b"-5", b"-0", b" 5", b"\t5", b"5 ", b"5\t", b"5 5", b"5\x005",
        b"5_0",
        b"5h", b"5.", b"5,5", b"five", b"\xd9\xa5", b"\xef\xbc\x95", b"5\x0b", b"5\x0c", b'"5"', b"5:", b"5#x",
        b"5,a=b",
        b"1" + b"0" * 15, b"0" * 16, b"0" * 15 + b"5", b"f" * 16, b"f" * 17, b"1" + b"0" * 31 + b"5",
    ],
)  # fmt: skip
def test_a_size_that_is_not_plain_hexadecimal_is_refused(size: bytes) -> None:
    refuses(size + b"\r\nhello\r\n")


@pytest.mark.parametrize(
    "extension",
    [
        b";", b" ;", b";;", b";a;", b"; ;a", b";a=", b";=b", b";a==b", b";a=b c", b";a b", b';a="b', b';a="b"c',
        b';a=b"',
        b';a="\\', b";a\x00", b";\x01", b';a="\x00"', b';a="\x7f"', b";a=\xff", b";a\rb", b";\r", b";a\r",
        b'a="\r"', b" a",
        b';a="b\r"',
    ],
)  # fmt: skip
def test_a_malformed_extension_is_refused(extension: bytes) -> None:
    refuses(b"5" + extension + b"\r\nhello\r\n")
    refuses(b"0" + extension + b"\r\n\r\n")


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\r\n", b"5\rhello\r\n", b"5;a\nhello\r\n", b"\n5\r\nhello", b"\r\n5\r\nhello\r\n",
        b"5\r\r\nhello\r\n",
        b"5\r\nhello\n", b"5\r\nhello\r0", b"5\r\nhello0\r\n", b"5\r\nhelloX", b"5\r\nhello\n\r", b"5\r\nhello 0\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n", b"5\r\nhello\r\n\n", b"0\r\n\n", b"0\n\n", b"0\n\r\n", b"0\r\nX: y\n\r\n",
    ],
)  # fmt: skip
def test_lines_end_in_crlf_and_nothing_else(wire: bytes) -> None:
    refuses(wire)


@pytest.mark.parametrize(
    "trailer",
    [
        b"X", b"X y", b": y", b" X: y", b"\tX: y", b"X : y", b"X\x00: y", b"X: y\x00", b"X: \ry", b"X: y\r",
        b"X: \x7f",
        b"X: y\r\n z", b"GET / HTTP/1.1", b"X(: y", b"\xffX: y", b"\r",
    ],
)  # fmt: skip
def test_what_is_no_trailer_is_refused(trailer: bytes) -> None:
    refuses(b"0\r\n" + trailer + b"\r\n\r\n")
    refuses(b"0\r\nA: b\r\n" + trailer + b"\r\n\r\n")


def test_a_size_line_has_at_most_256_bytes() -> None:
    longest = b"5;" + b"a" * 253
    assert ChunkedBody().feed(longest + b"\r\nhello") == (b"hello", b"")
    assert feed_all(ChunkedBody(), split(longest + b"\r\nhello", list(range(262)))) == (
        b"hello",
        b"",
    )
    refuses(longest + b"a\r\nhello")
    refuses(b"0" * 257)
    refuses(b"5;" + b"a" * 100_000)


@pytest.mark.parametrize(
    "name",
    [b"Content-Length", b"TRANSFER-ENCODING", b"host", b"Authorization", b"Content-Type", b"TE"],
)
@pytest.mark.parametrize("value", [b": 5", b":"])
def test_a_field_that_must_not_be_a_trailer_is_refused(name: bytes, value: bytes) -> None:
    refuses(b"0\r\n" + name + value + b"\r\n\r\n")
    refuses(b"0\r\nA: b\r\n" + name + value + b"\r\n\r\n")


def test_a_body_is_not_made_of_extensions() -> None:
    with pytest.raises(MessageError, match="outweigh"):
        ChunkedBody().feed((b"1;a=" + b"b" * 200 + b"\r\nx\r\n") * 100)


def test_content_pays_for_its_extensions() -> None:
    signed = b"100;signature=" + b"f" * 64 + b"\r\n" + b"x" * 256 + b"\r\n"
    content, rest = ChunkedBody().feed(signed * 1000)
    assert (len(content), rest) == (256_000, b"")


def test_trailers_have_at_most_8192_bytes_in_all() -> None:
    assert ChunkedBody().feed(b"0\r\nX: " + b"y" * 8000 + b"\r\n\r\n") == (b"", b"")
    refuses(b"0\r\n" + b"X: y\r\n" * 1366 + b"\r\n")
    refuses(b"0\r\nX: " + b"y" * 8190)
    refuses(b"0\r\n" + b"X: y\r\n" * 1000 + b"X: " + b"y" * 3000)


def test_no_more_than_one_line_is_ever_kept() -> None:
    body = ChunkedBody()
    for _ in range(100):
        body.feed(b"1;a=b\r\nx\r")
        body.feed(b"\n1;a")
        body.feed(b"=b\r\ny\r\n")
        assert len(body._buffer) <= 256
    body.feed(b"0\r\n")
    for _ in range(200):
        body.feed(b"X: " + b"y" * 20)
        assert len(body._buffer) <= 8192
        body.feed(b"\r\n")


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                b"0",
                b"5",
                b"a",
                b"\r\n",
                b"\n",
                b"\r",
                b";",
                b"=",
                b'"',
                b":",
                b"hello",
                b"\x00",
                b" ",
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.lists(st.integers(0), max_size=8),
)
def test_arbitrary_bytes_mean_the_same_however_they_arrive(wire: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | None:
        body = ChunkedBody()
        try:
            return *feed_all(body, pieces), body.is_complete
        except MessageError:
            return None

    at_once, in_pieces = outcome([wire]), outcome(split(wire, cuts))
    assert at_once == in_pieces
