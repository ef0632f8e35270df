"""Our reader of request heads against arbitrary bytes, against itself and against a second one."""

from __future__ import annotations

import inspect
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain.denial import Denial
from gateway.domain.request import RequestHead
from gateway.http1.request_head import HeadLimits, RequestHeadReader
from tests.http1.strict import read_strictly

END = b"\r\n\r\n"
STATE = sorted(
    name
    for name, member in vars(RequestHead).items()
    if inspect.isdatadescriptor(member) and not name.startswith(("memo_", "__"))
)


def fresh() -> RequestHeadReader:
    return RequestHeadReader(HeadLimits())


def state(head: RequestHead) -> dict[str, Any]:
    return {name: getattr(head, name) for name in STATE}


def first_head(data: bytes) -> bytes:
    """Cut the first head as the connection does."""
    return (data + END).split(END)[0] + END


METHODS = [b"GET"] * 4 + [b"POST"] * 4 + [
    b"HEAD", b"OPTIONS", b"OPTIONS", b"TRACE", b"connect", b"M-SEARCH", b"x" * 33, b"G(T",
]  # fmt: skip
TARGETS = [b"/", b"/a/b?c=d", b"/a?", b"//a", b"http://a", b"HTTPS://A.b:80/c?d", b"http://[::1]:8/x"] * 3 + [
    b"*", b"a", b"", b"/a#b", b"/\xc3\xa9", b"/a?\xe9", b"/a\\b", b"/%00", b"http://a?b", b"http://",
    b"http:///a", b"http://u@a/", b"ftp://a/", b"http://a:99999/", b"a:80", b"/a\tb", b"/" + b"x" * 9000, b"/a b",
]  # fmt: skip
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0"] * 4 + [
    b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/11", b"",
]  # fmt: skip
USUAL = [
    (b"Host", b": ", b"B.test."), (b"Content-Length", b":", b" 5\t"), (b"content-length", b": ", b"0"),
    (b"Transfer-Encoding", b": ", b"Chunked"), (b"Connection", b": ", b"Upgrade, x"), (b"Connection", b":", b"close"),
    (b"Connection", b": ", b"keep-alive"), (b"Upgrade", b": ", b"WebSocket"), (b"Upgrade", b": ", b"h2c"),
    (b"Expect", b": ", b"100-Continue"), (b"Max-Forwards", b": ", b"1"), (b"Content-Type", b":", b"a"),
    (b"X", b": ", b"\xff a"),
]  # fmt: skip
VALUES = [
    b"0", b"5", b"+5", b"-1", b"0x5", b"5, 5", b"5 5", b" 5\t", b"007", b"9" * 18, b"9" * 19, b"", b"a", b"a, b",
    b"chunked", b"Chunked", b"chunked, identity", b"gzip, chunked", b"chunked, chunked", b"xchunked", b"chunked;x",
    b"chunked\t",
    b"\x0bchunked", b",chunked", b"identity", b"close", b"keep-alive", b"Upgrade", b"upgrade, close", b"websocket",
    b"h2c", b"H2C", b"HTTP/2.0", b"websocket/13", b"web socket", b"websocket, h2c", b"a/", b"/", b"100-continue",
    b"100-Continue", b"200-ok", b"a.test", b"A.Test.:80", b"a..b", b".", b"a:", b"a:x", b"[::1]", b"[::g]", b"[1]:1",
    b"u@a", b"a b", b"a/b", b"\xff", b"\x00", b"\x7f", b"a\rb", b"a\nb", b"1.2.3.4:65536", b"a" * 256,
]  # fmt: skip
NAMES = [
    b"Host", b"hOST", b"Content-Length", b"Transfer-Encoding", b"transfer-encoding", b"Connection", b"Upgrade",
    b"Expect", b"Max-Forwards", b"Content-Type", b"X", b"Host ", b" Host", b"\tX", b"", b"X\x00", b"X\xff", b"X(",
]  # fmt: skip
LINE_ENDS = [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b"\n\r\n", b"\x00\r\n"]

usual = st.tuples(st.sampled_from(USUAL), st.just(b"\r\n"))
odd = st.tuples(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([b": ", b":", b" :", b":\t "]),
        st.sampled_from(VALUES),
    ),
    st.sampled_from([b"\r\n"] * 14 + LINE_ENDS),
)
fields = st.lists(st.one_of(usual, usual, usual, odd), max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    parts = [draw(st.sampled_from(METHODS)), b" ", draw(st.sampled_from(TARGETS)), b" "]
    parts += [draw(st.sampled_from(VERSIONS)), b"\r\n"]
    if draw(st.integers(0, 3)):
        parts.append(b"Host: a.test\r\n")
    for field, line_end in draw(fields):
        parts += [*field, line_end]
    return first_head(b"".join(parts))


GOOD = [
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST http://[::1]:80/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: a, b\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nMax-Forwards: 1\r\n\r\n",
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request with a few bytes changed, anywhere."""
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        length = draw(st.integers(0, 2))
        data[place : place + length] = draw(
            st.binary(max_size=2)
            | st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b":", b",", b"\0"])
        )
    return first_head(bytes(data))


def agrees(raw: bytes) -> None:
    ours, strict = fresh().read(raw), read_strictly(raw)
    if strict is None or isinstance(ours, Denial):
        assert strict is None
        assert isinstance(ours, Denial)
        return
    assert ours.method.encode() == strict.method
    assert ours.target == strict.target
    assert ours.authority == strict.authority
    assert ours.host == strict.host
    assert [(name, value) for _, name, value in ours.fields] == list(strict.fields)
    assert [lower for lower, _, _ in ours.fields] == [name.lower() for name, _ in strict.fields]
    assert ours.body_length == strict.body_length
    assert ours.keeps_alive == strict.keeps_alive
    assert ours.upgrade == strict.upgrade
    assert ours.expects_continue == strict.expects_continue


@settings(max_examples=600)
@given(requests())
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\nGET /x HTTP/1.1\r\nX: 1\r\n\r\n")
@example(b"GET / HTTP/1.1\nHost: a\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\rX: 1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n  2\r\n\r\n")
@example(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n")
def test_generated_requests_are_read_as_an_independent_strict_reader_reads_them(raw: bytes) -> None:
    agrees(raw)


@settings(max_examples=600)
@given(damaged())
def test_damaged_requests_are_read_as_an_independent_strict_reader_reads_them(raw: bytes) -> None:
    agrees(raw)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.binary(max_size=60))
@example(b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", b"0\r\nX: y\r\n\r\n")
def test_arbitrary_bytes_give_a_head_or_a_denial_and_never_an_exception(
    head: bytes, more: bytes
) -> None:
    for raw in (head + END + more, b"GET / HTTP/1.1\r\nHost: a\r\n" + head + END + more):
        assert isinstance(fresh().read(raw), RequestHead | Denial)


@settings(max_examples=300)
@given(requests() | damaged())
def test_a_remembered_head_equals_a_freshly_read_one(raw: bytes) -> None:
    reader = fresh()
    first, second, other = reader.read(raw), reader.read(raw), fresh().read(raw)
    if isinstance(first, Denial):
        assert first == second == other
        return
    assert first is second or len(raw) > 2048
    assert isinstance(second, RequestHead)
    assert isinstance(other, RequestHead)
    assert state(first) == state(second) == state(other)
