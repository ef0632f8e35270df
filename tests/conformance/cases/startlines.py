"""The request line: its whitespace, its version, its method, and what comes before it."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.words import (
    CLOSED,
    CRLF,
    DROPPED,
    HOST,
    SILENT,
    answered,
    case,
    get,
    lines,
    passed,
    refused,
)
from tests.conformance.driver import AUTH

_LINE = "RFC 9112 section 3: a request line is three words with one space between; anything else may be refused"
_VERSION = "RFC 9112 section 2.3: HTTP-version is case-sensitive, one digit each"
_MAJOR = "RFC 9110 section 15.6.6: another major version is answered 505"
_METHOD = "RFC 9110 section 9.1: methods are case-sensitive tokens, and an open set"
_BEFORE = "RFC 9112 section 2.2: at least one empty line before a request is ignored"
_GARBAGE = (
    "RFC 9112 section 2.2: what does not match the grammar is answered 400, and the connection ends"
)

_SPLIT: Story = passed()

_LINES: dict[str, tuple[bytes, tuple[Story, ...]]] = {
    # A recipient may split at any whitespace instead; a fourth word or a control is never fine.
    "two-spaces-before-target": (b"GET  /v1/case HTTP/1.1", (CLOSED, _SPLIT)),
    "two-spaces-before-version": (b"GET /v1/case  HTTP/1.1", (CLOSED, _SPLIT)),
    "tab-before-target": (b"GET\t/v1/case HTTP/1.1", (CLOSED, _SPLIT)),
    "tab-before-version": (b"GET /v1/case\tHTTP/1.1", (CLOSED, _SPLIT)),
    "vertical-tab": (b"GET\x0b/v1/case\x0bHTTP/1.1", (CLOSED, _SPLIT)),
    "form-feed": (b"GET\x0c/v1/case\x0cHTTP/1.1", (CLOSED, _SPLIT)),
    "bare-cr-between": (b"GET\r/v1/case HTTP/1.1", (CLOSED, _SPLIT)),
    "leading-space": (b" GET /v1/case HTTP/1.1", (CLOSED, _SPLIT)),
    "leading-tab": (b"\tGET /v1/case HTTP/1.1", (CLOSED, _SPLIT)),
    "trailing-space": (b"GET /v1/case HTTP/1.1 ", (CLOSED, _SPLIT)),
    "trailing-tab": (b"GET /v1/case HTTP/1.1\t", (CLOSED, _SPLIT)),
    "trailing-word": (b"GET /v1/case HTTP/1.1 x", (CLOSED,)),
    "two-versions": (b"GET /v1/case HTTP/1.1 HTTP/1.1", (CLOSED,)),
    "space-in-target": (b"GET /v1/ca se HTTP/1.1", (CLOSED,)),
    "space-in-query": (b"GET /v1/case?a=b c HTTP/1.1", (CLOSED,)),
    "nul-between": (b"GET\x00/v1/case HTTP/1.1", (CLOSED,)),
    "nul-first": (b"\x00GET /v1/case HTTP/1.1", (CLOSED,)),
    "nul-last": (b"GET /v1/case HTTP/1.1\x00", (CLOSED,)),
    "non-breaking-space": (b"GET\xa0/v1/case HTTP/1.1", (CLOSED,)),
    "no-target": (b"GET HTTP/1.1", (CLOSED,)),
    "no-target-two-spaces": (b"GET  HTTP/1.1", (CLOSED,)),
    "no-method": (b"/v1/case HTTP/1.1", (CLOSED,)),
    "no-method-space": (b" /v1/case HTTP/1.1", (CLOSED,)),
    "only-method": (b"GET", (CLOSED,)),
    "only-version": (b"HTTP/1.1", (CLOSED,)),
    "response-line": (b"HTTP/1.1 200 OK", (CLOSED,)),
    "swapped": (b"/v1/case GET HTTP/1.1", (CLOSED,)),
    "no-spaces": (b"GET/v1/caseHTTP/1.1", (CLOSED,)),
    "bom": (b"\xef\xbb\xbfGET /v1/case HTTP/1.1", (CLOSED,)),
    "colon": (b"GET: /v1/case HTTP/1.1", (CLOSED,)),
    "quoted": (b'"GET /v1/case HTTP/1.1"', (CLOSED,)),
}

_UNREADABLE: dict[str, bytes] = {
    "lower-case": b"http/1.1", "mixed-case": b"Http/1.1", "missing-minor": b"HTTP/1", "missing-minor-dot": b"HTTP/1.",
    "missing-major": b"HTTP/.1", "no-slash": b"HTTP1.1", "no-number": b"HTTP/", "name-only": b"HTTP",
    "two-digit-minor": b"HTTP/1.10",
    "leading-zero-major": b"HTTP/01.1", "leading-zero-minor": b"HTTP/1.01", "space-after-slash": b"HTTP/ 1.1",
    "space-before-slash": b"HTTP /1.1", "space-around-dot": b"HTTP/1 .1", "comma": b"HTTP/1,1",
    "other-protocol": b"FTP/1.1",
    "https": b"HTTPS/1.1", "icy": b"ICY/1.1", "rtsp": b"RTSP/1.0", "plus": b"HTTP/+1.1", "minus": b"HTTP/-1.1",
    "letter": b"HTTP/1.x",
    "trailing-letter": b"HTTP/1.1x", "hex": b"HTTP/0x1.1", "huge": b"HTTP/1.99999999999",
    "three-numbers": b"HTTP/1.1.1",
    "fullwidth-digit": b"HTTP/\xef\xbc\x91.1", "nul": b"HTTP/1.1\x00", "bare-cr": b"HTTP/1.1\r",
    "slashes": b"HTTP//1.1",
}  # fmt: skip

_OTHER_MAJOR = {
    "0.9": b"HTTP/0.9",
    "2.0": b"HTTP/2.0",
    "3.0": b"HTTP/3.0",
    "9.9": b"HTTP/9.9",
    "0.0": b"HTTP/0.0",
    "2.1": b"HTTP/2.1",
}
_OTHER_MINOR = {"1.2": b"HTTP/1.2", "1.9": b"HTTP/1.9"}

_FORWARDED_METHODS = (
    b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"MKCOL", b"REPORT", b"QUERY", b"PURGE",
    b"M-SEARCH", b"FOOBAR", b"VERSION-CONTROL", b"X", b"A.B",
)  # fmt: skip

_BAD_METHODS: dict[str, bytes] = {
    "bracket": b"G[T", "paren": b"GE(T)", "comma": b"GET,POST", "semicolon": b"GET;", "colon": b"GE:T",
    "slash": b"GE/T",
    "quote": b'"GET"', "at": b"G@T", "control": b"GE\x01T", "delete": b"GET\x7f", "nul": b"GE\x00T",
    "latin-1": b"G\xcaT",
    "utf-8": b"G\xc3\x8aT", "equals": b"GET=", "brace": b"{GET}", "backslash": b"GET\\", "less": b"<GET>",
    "bare-lf": b"GE\nT",
}  # fmt: skip


def _request_lines() -> list[Case]:
    return [
        case(name, _LINE, lines(line, HOST, AUTH), *stories)
        for name, (line, stories) in _LINES.items()
    ]


def _versions() -> list[Case]:
    found = [
        case(name, _VERSION, get(version=version), refused(400, 505, closes=True))
        for name, version in _UNREADABLE.items()
    ]
    found += [
        case(name, _MAJOR, get(version=version), refused(400, 426, 505, closes=True))
        for name, version in _OTHER_MAJOR.items()
    ]
    higher = "RFC 9110 section 2.5: a higher minor version is read as the highest one that is known"
    found += [
        case(
            name,
            higher,
            get(version=version),
            refused(505, closes=True),
            refused(400, closes=True),
            passed(),
        )
        for name, version in _OTHER_MINOR.items()
    ]
    return [
        *found,
        case("1.0", "RFC 9112 section 9.3: HTTP/1.0 closes", get(version=b"HTTP/1.0"), passed(closes=True)),
        case("http-0.9", "RFC 9112 section 2.3: no HTTP/0.9",
             b"GET /v1/case\r\n", CLOSED, SILENT, DROPPED, probe=False),
        case("http-0.9-and-fields", "RFC 9112 section 2.3", lines(b"GET /v1/case", HOST, AUTH), CLOSED),
        case("http-0.9-empty-line", "RFC 9112 section 2.3", b"GET /v1/case\r\n\r\n", CLOSED, DROPPED),
        case("http-2-preface", "RFC 9113 section 3.4: no HTTP/2 is spoken here",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(400, 405, 505, closes=True), DROPPED, probe=False),
        case("pri-in-http-1", "RFC 9113 section 3.4: PRI is reserved",
             lines(b"PRI * HTTP/1.1", HOST, AUTH), refused(400, 405, 501)),
        case("sm-after-request", "RFC 9113 section 3.4", get() + b"SM\r\n\r\n", (*passed(), *CLOSED)),
    ]  # fmt: skip


def _methods() -> list[Case]:
    def asking(method: bytes) -> bytes:
        return lines(method + b" /v1/case HTTP/1.1", HOST, AUTH)

    found = [
        case(
            method.decode().lower(),
            _METHOD,
            asking(method),
            passed(method=method),
            refused(405, 501),
        )
        for method in _FORWARDED_METHODS
    ]
    found += [
        case(f"bad-{name}", _METHOD, asking(raw), CLOSED) for name, raw in _BAD_METHODS.items()
    ]
    return [
        *found,
        case("head", "RFC 9110 section 9.3.2", asking(b"HEAD"), passed(method=b"HEAD")),
        case("lower-case", _METHOD, asking(b"get"), passed(method=b"get"), refused(400, 405, 501)),
        case("mixed-case", _METHOD, asking(b"Post"), passed(method=b"Post"), refused(400, 405, 501)),
        case("32-bytes", _METHOD, asking(b"M" * 32), passed(method=b"M" * 32), refused(400, 405, 501)),
        case("33-bytes", "RFC 9112 section 3: a longer method than any known is 501", asking(b"M" * 33),
             refused(501), refused(400, 405), passed(method=b"M" * 33)),
        case("4k", "RFC 9112 section 3", asking(b"M" * 4096), refused(400, 405, 414, 501),
             passed(method=b"M" * 4096), splits=False),
        case("100k", "RFC 9112 section 3", asking(b"M" * 100_000), refused(400, 414, 431, 501, closes=True), DROPPED,
             splits=False),
    ]  # fmt: skip


def _ending_here() -> list[Case]:
    def asking(method: bytes) -> bytes:
        return lines(method + b" /v1/case HTTP/1.1", HOST, AUTH)

    trace = "RFC 9110 section 9.3.8: TRACE reflects credentials; it is switched off"
    connect = "RFC 9110 section 9.3.6: a gateway is no tunnel to elsewhere"
    no: Story = refused(400, 403, 405, 501)
    return [
        case("trace", trace, asking(b"TRACE"), no),
        case("trace-lower-case", trace, asking(b"trace"), no, passed(method=b"trace")),
        case("trace-with-body", trace, lines(b"TRACE /v1/case HTTP/1.1", HOST, AUTH, b"Content-Length: 5") + b"hello",
             refused(400, 403, 405, 501)),
        case("track", trace, asking(b"TRACK"), passed(method=b"TRACK"), no),
        case("connect", connect, lines(b"CONNECT evil.test:443 HTTP/1.1", b"Host: evil.test:443", AUTH), no),
        case("connect-path", connect, lines(b"CONNECT /v1/case HTTP/1.1", HOST, AUTH), no),
        case("connect-lower-case", connect, lines(b"connect evil.test:443 HTTP/1.1", b"Host: evil.test:443", AUTH),
        no),
        case("connect-no-port", connect, lines(b"CONNECT evil.test HTTP/1.1", b"Host: evil.test", AUTH), no),
        case("connect-absolute", connect, lines(b"CONNECT http://evil.test/ HTTP/1.1", b"Host: evil.test", AUTH), no),
        case("connect-with-length", connect,
             lines(b"CONNECT evil.test:443 HTTP/1.1", b"Host: evil.test:443", AUTH, b"Content-Length: 5") + b"hello",
             no),
    ]  # fmt: skip


def _before() -> list[Case]:
    return [
        case("one-crlf", _BEFORE, CRLF + get(), passed()),
        case("two-crlf", "RFC 9112 section 2.2: more than one empty line may be refused", CRLF * 2 + get(), CLOSED,
        passed()),
        case("ten-crlf", "RFC 9112 section 2.2", CRLF * 10 + get(), CLOSED, passed()),
        case("crlf-between-requests", _BEFORE, get() + CRLF + get(target=b"/v1/next"),
             (*passed(), *passed(target=b"/v1/next"))),
        case("one-lf", "RFC 9112 section 2.2", b"\n" + get(), CLOSED, passed()),
        case("one-cr", _GARBAGE, b"\r" + get(), CLOSED, passed()),
        case("crlf-cr", _GARBAGE, b"\r\n\r" + get(), CLOSED, passed()),
        case("spaces-line", _GARBAGE, b"   \r\n" + get(), CLOSED, passed()),
        case("nul", _GARBAGE, b"\x00\r\n" + get(), CLOSED),
        case("garbage-line", _GARBAGE, b"xyzzy\r\n" + get(), CLOSED),
        case("binary", _GARBAGE, bytes(range(128, 256)) + b"\r\n\r\n", CLOSED, DROPPED),
        case("tls-hello", _GARBAGE, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 32 + b"\r\n\r\n",
        CLOSED, DROPPED),
        case("proxy-v1", "the PROXY protocol is spoken only where it is configured",
             b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(), CLOSED),
        case("proxy-v2", "the PROXY protocol is spoken only where it is configured",
             b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x7f\x00\x00\x01" * 2 + b"\x00\x01\x00\x02" + get(),
             CLOSED, DROPPED),
        case("only-crlf", _BEFORE, CRLF, SILENT, probe=False),
        case("incomplete-line", "RFC 9112 section 2.1", b"GET /v1/ca", SILENT, probe=False),
        case("incomplete-head", "RFC 9112 section 2.1", get()[:-2], SILENT, probe=False),
        case("incomplete-field", "RFC 9112 section 2.1", get()[:-9], SILENT, probe=False),
        case("nothing", "RFC 9112 section 9.8", b"", SILENT, probe=False, splits=False),
        case("smtp", _GARBAGE, b"EHLO evil.test\r\nMAIL FROM:<a@b>\r\n\r\n", CLOSED),
        case("redis", _GARBAGE, b"*1\r\n$4\r\nPING\r\n\r\n", CLOSED),
        case("options-star", "RFC 9110 section 9.3.7: OPTIONS * asks about the server", lines(b"OPTIONS * HTTP/1.1",
        HOST, AUTH),
             answered(200, 204), answered(400, 403, 404, 405, 501)),
        case("get-star", "RFC 9112 section 3.2.4: * is for OPTIONS only", lines(b"GET * HTTP/1.1", HOST, AUTH),
        CLOSED),
        case("star-path", "RFC 9112 section 3.2.4", lines(b"OPTIONS */x HTTP/1.1", HOST, AUTH), CLOSED),
    ]  # fmt: skip


GROUPS = (
    Group(
        name="request-line",
        title="Request line: words and whitespace",
        cases=tuple(_request_lines()),
    ),
    Group(name="version", title="Request line: version", cases=tuple(_versions())),
    Group(name="method", title="Request line: method", cases=tuple(_methods())),
    Group(
        name="no-method",
        title="CONNECT, TRACE and TRACK",
        cases=tuple(_ending_here()),
        is_policy=True,
    ),
    Group(name="before", title="Before the request line; what is not HTTP", cases=tuple(_before())),
)
