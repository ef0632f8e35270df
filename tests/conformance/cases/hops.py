"""What crosses: hop-by-hop fields, what `Connection` may name, `Via`, `TE`, `Max-Forwards`, end-to-end fields."""

from __future__ import annotations

from tests.conformance.case import Answered, Case, Group, Passed, Story
from tests.conformance.cases.words import (
    HOST,
    TARGET,
    case,
    chunked,
    get,
    lines,
    passed,
    post,
    posted,
    refused,
)
from tests.conformance.driver import AUTH

_HOP = "RFC 9110 section 7.6.1: hop-by-hop fields end here"
_NAMED = "RFC 9110 section 7.6.1: what Connection names is removed, and with it Connection"
_KEPT = "RFC 9110 section 7.6.1: Connection must not name an end-to-end field that every recipient needs"
_END = "RFC 9110 section 5.1: unknown fields are forwarded"
_HOPS = "RFC 9110 section 7.6.2: Max-Forwards is counted down, and 0 ends here"

_HOP_BY_HOP: dict[str, bytes] = {
    "keep-alive": b"Keep-Alive: timeout=5", "proxy-connection": b"Proxy-Connection: keep-alive", "te": b"TE: gzip",
    "upgrade": b"Upgrade: foo",
}  # fmt: skip

_END_TO_END: dict[str, bytes] = {
    "accept": b"Accept: a/b;q=0.5, */*", "range": b"Range: bytes=0-1", "if-match": b'If-Match: "x"',
    "cookie": b"Cookie: a=b; c=d",
    "user-agent": b"User-Agent: x/1 (y)", "referer": b"Referer: http://x.test/", "origin": b"Origin: null",
    "x-custom": b"X-Custom: 1",
    "content-language": b"Content-Language: de", "cache-control": b"Cache-Control: no-cache",
    "pragma": b"Pragma: no-cache",
    "accept-encoding": b"Accept-Encoding: gzip", "early-data": b"Early-Data: 1",
    "sec-fetch-site": b"Sec-Fetch-Site: none",
    "from": b"From: a@b.test", "dnt": b"DNT: 1",
    "if-modified-since": b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "warning": b'Warning: 199 - "x"', "accept-charset": b"Accept-Charset: utf-8",
    "date": b"Date: Sun, 06 Nov 1994 08:49:37 GMT",
}  # fmt: skip


def _removed() -> list[Case]:
    found = []
    for name, line in _HOP_BY_HOP.items():
        nominated = b"Connection: " + name.encode()
        gone = passed(fields={name.encode(): []})
        found.append(case(name, _HOP, get(line), gone))
        if name != "upgrade":  # which then is meant, and may cross
            found.append(case(f"{name}-nominated", _HOP, get(nominated, line), gone))
    gone = passed(fields={b"x-hop": [], b"x-kept": [b"2"]})
    return [
        *found,
        case("named", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: x-hop"), gone),
        case("named-case", _NAMED, get(b"X-HOP: 1", b"X-Kept: 2", b"Connection: X-Hop"), gone),
        case("named-in-list", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: foo, x-hop , bar"), gone),
        case("named-second-field", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: foo", b"Connection: x-hop"),
        gone),
        case("named-with-keep-alive", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: keep-alive, X-Hop"), gone),
        case("named-repeated", _NAMED, get(b"X-Hop: 1", b"X-Hop: 2", b"X-Kept: 2", b"Connection: x-hop"), gone),
        case("named-empty-members", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: ,, x-hop,,"), gone),
        case("named-absent", _NAMED, get(b"Connection: x-absent"), passed()),
        case("named-tab", _NAMED, get(b"X-Hop: 1", b"X-Kept: 2", b"Connection: foo,\tx-hop\t"), gone),
        case("named-not-a-token", "RFC 9110 section 7.6.1: connection options are tokens", get(b"Connection: x hop"),
             refused(400), passed()),
        case("named-quoted", "RFC 9110 section 7.6.1: connection options are tokens", get(b'Connection: "x-hop"',
        b"X-Hop: 1"),
             refused(400), passed()),
        case("te-trailers", "RFC 9110 section 10.1.4: TE belongs to one hop", get(b"TE: trailers", b"Connection: TE"),
        passed()),
        case("te-chunked", "RFC 9110 section 10.1.4", get(b"TE: chunked", b"Connection: TE"),
        passed(fields={b"te": []})),
        case("trailer-field", "RFC 9110 section 6.6.2",
             chunked(b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"Trailer: X-T"), posted(b"hello")),
    ]  # fmt: skip


def _forwarded() -> list[Case]:
    found = []
    for name, line in _END_TO_END.items():
        value = line.split(b": ", 1)[1]
        found.append(case(name, _END, get(line), passed(fields={name.encode(): [value]})))
    many = get(*(b"X-F%d: v%d" % (n, n) for n in range(40)))
    return [
        *found,
        case("forty-fields", _END, many, passed(fields={b"x-f%d" % n: [b"v%d" % n] for n in range(40)})),
        case("content-type", _END, post(b"Content-Type: a/b; c=d", b"Content-Length: 5", body=b"hello"),
             passed(b"hello", method=b"POST", fields={b"content-type": [b"a/b; c=d"]})),
        case("content-encoding", "RFC 9110 section 8.4: content is not decoded",
             post(b"Content-Encoding: gzip", b"Content-Length: 5", body=b"\x1f\x8b\x00\xff\x00"),
             passed(b"\x1f\x8b\x00\xff\x00", method=b"POST", fields={b"content-encoding": [b"gzip"]})),
    ]  # fmt: skip


def _named_end_to_end() -> list[Case]:
    def naming(name: bytes, *fields: bytes) -> bytes:
        return get(b"Connection: " + name, *fields)

    no: Story = refused(400)
    return [
        case("host", _KEPT, naming(b"host"), passed(), no),
        case("host-and-more", _KEPT, naming(b"close, host"), passed(closes=True), refused(400)),
        case("content-length", _KEPT, post(b"Content-Length: 5", b"Connection: content-length", body=b"hello"),
             posted(b"hello"), refused(400)),
        case("transfer-encoding", _KEPT, chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: transfer-encoding"),
             posted(b"hello"), refused(400)),
        case("x-forwarded-for", "RFC 9110 section 7.6.1: what the proxy adds is not the client's to remove",
             naming(b"x-forwarded-for"), passed(fields={b"x-forwarded-for": [b"127.0.0.1"]}), no),
        case("via", _KEPT, naming(b"via"), passed(), no),
    ]  # fmt: skip


def _counted() -> list[Case]:
    def options(*fields: bytes, method: bytes = b"OPTIONS") -> bytes:
        return lines(method + b" /v1/case HTTP/1.1", HOST, AUTH, *fields)

    def reached(hops: list[bytes], method: bytes = b"OPTIONS") -> Story:
        return passed(method=method, fields={b"max-forwards": hops})

    ended: Story = (Answered(statuses=frozenset({200, 204, 400, 403, 404, 405, 501})),)
    here: Story = (Answered(statuses=frozenset({200, 204})),)
    return [
        case("options-0", _HOPS, options(b"Max-Forwards: 0"), here),
        case("options-00", _HOPS, options(b"Max-Forwards: 00"), here, refused(400)),
        case("options-1", _HOPS, options(b"Max-Forwards: 1"), reached([b"0"])),
        case("options-10", _HOPS, options(b"Max-Forwards: 10"), reached([b"9"])),
        case("options-huge", _HOPS, options(b"Max-Forwards: 99999999999999999999"), refused(400),
        reached([b"99999999999999999998"])),
        case("options-negative", _HOPS, options(b"Max-Forwards: -1"), refused(400), ended),
        case("options-word", _HOPS, options(b"Max-Forwards: x"), refused(400), ended),
        case("options-twice", _HOPS, options(b"Max-Forwards: 1", b"Max-Forwards: 2"), refused(400), ended),
        case("options-none", _HOPS, options(), reached([])),
        case("trace-0", _HOPS, options(b"Max-Forwards: 0", method=b"TRACE"), ended),
        case("get-0", "RFC 9110 section 7.6.2: other methods may ignore it", get(b"Max-Forwards: 0"), passed()),
    ]  # fmt: skip


def _via() -> list[Case]:
    must = "RFC 9110 section 7.6.3: a gateway must send Via to the origin, and keep what is there in order"
    ours = "RFC 9110 section 7.6.3: the protocol is that of the received request"
    return [
        case("none", must, get(), (_via_of(b"1.1 tollhouse"),)),
        case("one", must, get(b"Via: 1.1 first"), (_via_of(b"1.1 first, 1.1 tollhouse"),)),
        case("two", must, get(b"Via: 1.0 a", b"Via: 1.1 b (c)"), (_via_of(b"1.0 a, 1.1 b (c), 1.1 tollhouse"),)),
        case("old", ours, get(version=b"HTTP/1.0"), (_via_of(b"1.0 tollhouse", closes=True),)),
        case("loop", "RFC 9110 section 7.6.3: a proxy must not forward to itself", get(b"Via: 1.1 tollhouse"),
        refused(502, 508)),
        case("loop-in-list", "RFC 9110 section 7.6.3", get(b"Via: 1.1 a, HTTP/1.1 Tollhouse (x), 1.1 b"), refused(502,
        508)),
        case("loop-second-field", "RFC 9110 section 7.6.3", get(b"Via: 1.1 a", b"Via: 1.1 tollhouse"), refused(502,
        508)),
        case("similar-name", "RFC 9110 section 7.6.3", get(b"Via: 1.1 tollhouse2"),
        (_via_of(b"1.1 tollhouse2, 1.1 tollhouse"),)),
        case("in-comment", "RFC 9110 section 7.6.3", get(b"Via: 1.1 a (1.1 tollhouse)"), passed()),
    ]  # fmt: skip


def _via_of(value: bytes, *, closes: bool = False) -> Passed:
    return Passed(target=TARGET, fields={b"via": [value]}, closes=closes)


GROUPS = (
    Group(name="hop-by-hop", title="Hop-by-hop fields", cases=tuple(_removed())),
    Group(name="end-to-end", title="End-to-end fields", cases=tuple(_forwarded())),
    Group(
        name="nominated",
        title="Connection naming what it must not",
        cases=tuple(_named_end_to_end()),
    ),
    Group(name="max-forwards", title="Max-Forwards", cases=tuple(_counted())),
    Group(name="via", title="Via", cases=tuple(_via()), is_policy=True),
)
