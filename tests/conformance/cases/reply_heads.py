"""Heads of responses: status lines, field lines, sizes, and which fields cross."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.replies import (
    BAD,
    CHUNKED,
    FIVE,
    HELLO,
    OK,
    TEXT,
    answer,
    by_backend,
    chunks,
    response,
    whole,
)
from tests.conformance.cases.words import get

_LINE = "RFC 9112 section 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]"
_STATUS = "RFC 9110 section 15: status codes are integers from 100 to 599"
_VERSION = "RFC 9112 section 2.3: HTTP-name is case-sensitive, the version is two digits and a dot"

_GOOD_LINES: dict[str, tuple[bytes, int]] = {
    "reason-empty": (b"HTTP/1.1 200 ", 200),
    "reason-of-many-words": (b"HTTP/1.1 200 All is well, really", 200),
    "reason-with-tab": (b"HTTP/1.1 200 O\tK", 200),
    "reason-with-obs-text": (b"HTTP/1.1 200 caf\xe9 \xff", 200),
    "reason-in-utf-8": (b"HTTP/1.1 200 \xe2\x9c\x93", 200),
    "reason-with-two-spaces": (b"HTTP/1.1 200  OK", 200),
    "reason-of-1000-bytes": (b"HTTP/1.1 200 " + b"x" * 1000, 200),
    "reason-like-a-field": (b"HTTP/1.1 200 Content-Length: 0", 200),
    "status-unknown-299": (b"HTTP/1.1 299 x", 299),
    "status-unknown-499": (b"HTTP/1.1 499 x", 499),
    "status-599": (b"HTTP/1.1 599 x", 599),
    "status-418": (b"HTTP/1.1 418 I'm a teapot", 418),
    "status-505": (b"HTTP/1.1 505 x", 505),
    "status-300": (b"HTTP/1.1 300 Multiple Choices", 300),
    "status-206": (b"HTTP/1.1 206 Partial Content", 206),
    "status-401": (b"HTTP/1.1 401 Unauthorized", 401),
    "status-407": (b"HTTP/1.1 407 x", 407),
    "status-417": (b"HTTP/1.1 417 Expectation Failed", 417),
    "status-426": (b"HTTP/1.1 426 Upgrade Required", 426),
    "status-502": (b"HTTP/1.1 502 Bad Gateway", 502),
    "status-504": (b"HTTP/1.1 504 Gateway Timeout", 504),
}

_BAD_LINES: dict[str, tuple[str, bytes]] = {
    "status-of-two-digits": (_LINE, b"HTTP/1.1 20 OK"),
    "status-of-one-digit": (_LINE, b"HTTP/1.1 2 OK"),
    "status-of-four-digits": (_LINE, b"HTTP/1.1 2000 OK"),
    "status-empty": (_LINE, b"HTTP/1.1  OK"),
    "status-missing": (_LINE, b"HTTP/1.1"),
    "status-missing-with-space": (_LINE, b"HTTP/1.1 "),
    "status-signed": (_LINE, b"HTTP/1.1 +200 OK"),
    "status-negative": (_LINE, b"HTTP/1.1 -200 OK"),
    "status-signed-in-three": (_LINE, b"HTTP/1.1 +20 OK"),
    "status-with-space-inside": (_LINE, b"HTTP/1.1 2 00 OK"),
    "status-hex": (_LINE, b"HTTP/1.1 0xC8 OK"),
    "status-word": (_LINE, b"HTTP/1.1 OK 200"),
    "status-letter-inside": (_LINE, b"HTTP/1.1 2a0 OK"),
    "status-float": (_LINE, b"HTTP/1.1 200.0 OK"),
    "status-arabic-digits": (_LINE, b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK"),
    "status-glued-to-reason": (_LINE, b"HTTP/1.1 200OK"),
    "status-after-two-spaces": (_LINE, b"HTTP/1.1  200 OK"),
    "status-after-tab": (_LINE, b"HTTP/1.1\t200 OK"),
    "reason-after-tab": (_LINE, b"HTTP/1.1 200\tOK"),
    "status-glued-to-version": (_LINE, b"HTTP/1.1200 OK"),
    "version-missing": (_VERSION, b"200 OK"),
    "version-lower-case": (_VERSION, b"http/1.1 200 OK"),
    "version-mixed-case": (_VERSION, b"Http/1.1 200 OK"),
    "version-2-0": (_VERSION, b"HTTP/2.0 200 OK"),
    "version-2": (_VERSION, b"HTTP/2 200 OK"),
    "version-3": (_VERSION, b"HTTP/3 200"),
    "version-0-9": (_VERSION, b"HTTP/0.9 200 OK"),
    "version-without-dot": (_VERSION, b"HTTP/11 200 OK"),
    "version-with-comma": (_VERSION, b"HTTP/1,1 200 OK"),
    "version-without-minor": (_VERSION, b"HTTP/1 200 OK"),
    "version-empty-minor": (_VERSION, b"HTTP/1. 200 OK"),
    "version-of-three": (_VERSION, b"HTTP/1.1.1 200 OK"),
    "version-padded": (_VERSION, b"HTTP/01.1 200 OK"),
    "version-two-digits": (_VERSION, b"HTTP/1.10 200 OK"),
    "version-with-space": (_VERSION, b"HTTP/1. 1 200 OK"),
    "version-negative": (_VERSION, b"HTTP/-1.1 200 OK"),
    "name-icy": (_VERSION, b"ICY 200 OK"),
    "name-rtsp": (_VERSION, b"RTSP/1.0 200 OK"),
    "name-https": (_VERSION, b"HTTPS/1.1 200 OK"),
    "space-before": (_VERSION, b" HTTP/1.1 200 OK"),
    "byte-order-mark-before": (_VERSION, b"\xef\xbb\xbfHTTP/1.1 200 OK"),
    "nul-before": (_VERSION, b"\x00HTTP/1.1 200 OK"),
    "reason-with-nul": (_LINE, b"HTTP/1.1 200 O\x00K"),
    "reason-with-escape": (_LINE, b"HTTP/1.1 200 O\x1bK"),
    "reason-with-delete": (_LINE, b"HTTP/1.1 200 OK\x7f"),
    "reason-with-bare-cr": (_LINE, b"HTTP/1.1 200 O\rK"),
    "a-request": (_LINE, b"GET / HTTP/1.1"),
    "html": (_LINE, b"<html>"),
    "field-first": (_LINE, b"Content-Type: text/plain"),
}

_REPAIRED: dict[str, tuple[Story, ...]] = {
    "reason-with-escape": (whole(),),
    "reason-with-delete": (whole(),),
    "version-1-2": (whole(),),
}


def _status_lines() -> list[Case]:
    good = [
        answer(
            name,
            _LINE,
            response(TEXT, FIVE, body=HELLO, line=line),
            whole(status=status),
            then="keep",
        )
        for name, (line, status) in _GOOD_LINES.items()
    ]
    bad = [
        answer(
            name, why, response(TEXT, FIVE, body=HELLO, line=line), BAD, *_REPAIRED.get(name, ())
        )
        for name, (why, line) in _BAD_LINES.items()
    ]
    body = response(TEXT, FIVE, body=HELLO, line=b"HTTP/1.1 200")
    lenient = "RFC 9112 section 4: the space is required, though servers leave it away"
    tolerated = [answer("reason-missing", lenient, body, whole(), BAD)]
    # Outside of 100 to 599 a client treats the code as a 5xx (RFC 9110 section 15), so passing it on is allowed.
    outside = [
        answer(
            f"status-{code.decode()}",
            _STATUS,
            response(TEXT, FIVE, body=HELLO, line=b"HTTP/1.1 %b x" % code),
            BAD,
            by_backend(int(code)),
        )
        for code in (b"000", b"001", b"099", b"600", b"666", b"999")
    ]
    later = response(TEXT, FIVE, body=HELLO, line=b"HTTP/1.2 200 OK")
    minor = "RFC 9110 section 2.5: a higher minor version may be read as the highest one known"
    others = [
        answer("version-1-2", minor, later, BAD, whole()),
        answer(
            "empty-line-before",
            "RFC 9112 section 2.2: only servers read past an empty line",
            b"\r\n" + OK,
            BAD,
            whole(),
        ),
        answer("silence-then-end", _LINE, b"", BAD, then="close"),
        answer("only-empty-lines", _LINE, b"\r\n\r\n\r\n", BAD, then="close"),
        answer("garbage", _LINE, bytes(range(256)), BAD, then="close"),
        answer("tls-alert", _LINE, b"\x15\x03\x01\x00\x02\x02\x0a", BAD, then="close"),
        answer("ssh-banner", _LINE, b"SSH-2.0-OpenSSH_9.2\r\n", BAD, then="close"),
        answer("http2-preface", _LINE, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", BAD, then="close"),
        answer("body-without-head", _LINE, b"hello", BAD, then="close"),
    ]
    return [*good, *bad, *tolerated, *outside, *others]


# ---- field lines

_FIELD = "RFC 9112 section 5: field-line = field-name ':' OWS field-value OWS"
_VALUE = "RFC 9110 section 5.5: CR, LF and NUL in a value are refused or replaced by a space"
_OTHER = "RFC 9110 section 5.5: other control characters are invalid, though they may be kept"
_FOLD = "RFC 9112 section 5.2: a proxy answers 502 to a folded line, or replaces the fold by spaces"
_SPACE = "RFC 9112 section 5.1: whitespace before the colon is removed, or the response refused"
_LF = "RFC 9112 section 2.2: a recipient may take a bare LF for the end of a line"

_BAD_FIELDS: dict[str, tuple[str, bytes, tuple[Story, ...]]] = {
    "no-colon": (_FIELD, b"X-Case", ()),
    "no-colon-with-words": (_FIELD, b"just some words", ()),
    "name-empty": (_FIELD, b": value", ()),
    "name-with-space": (_FIELD, b"X Case: a", ()),
    "name-with-space-before-colon": (_SPACE, b"X-Case : a", (whole(fields={b"x-case": [b"a"]}),)),
    "name-with-tab-before-colon": (_SPACE, b"X-Case\t: a", (whole(fields={b"x-case": [b"a"]}),)),
    "length-with-space-before-colon": (_SPACE, b"Content-Length : 5", ()),
    "coding-with-space-before-colon": (_SPACE, b"Transfer-Encoding : chunked", ()),
    "name-with-nul": (_FIELD, b"X-\x00Case: a", ()),
    "name-with-obs-text": (_FIELD, b"X-Cas\xe9: a", ()),
    "name-with-slash": (_FIELD, b"X/Case: a", ()),
    "name-with-parenthesis": (_FIELD, b"X(Case): a", ()),
    "name-in-quotes": (_FIELD, b'"X-Case": a', ()),
    "name-with-cr": (_FIELD, b"X-\rCase: a", ()),
    "name-with-control": (_FIELD, b"X-\x01Case: a", ()),
    "value-with-nul": (_VALUE, b"X-Case: a\x00b", (whole(fields={b"x-case": [b"a b"]}),)),
    "value-ends-in-nul": (_VALUE, b"X-Case: a\x00", (whole(fields={b"x-case": [b"a"]}),)),
    "value-with-bare-cr": (_VALUE, b"X-Case: a\rb", (whole(fields={b"x-case": [b"a b"]}),)),
    "value-with-two-crs": (_VALUE, b"X-Case: a\r", (whole(fields={b"x-case": [b"a"]}),)),
    "fold-with-space": (_FOLD, b"X-Case: a\r\n b", (whole(fields={b"x-case": [b"a b"]}),)),
    "fold-with-tab": (_FOLD, b"X-Case: a\r\n\tb", (whole(fields={b"x-case": [b"a b"]}),)),
    "fold-hides-a-length": (_FOLD, b"X-Case: a\r\n Content-Length: 0", ()),
    "fold-of-nothing": (_FOLD, b"X-Case:\r\n a", (whole(fields={b"x-case": [b"a"]}),)),
    "space-before-name": (_FIELD, b" X-Case: a", ()),
    "colon-twice-at-start": (_FIELD, b"::", ()),
}

_FIRST_FOLD = b"HTTP/1.1 200 OK\r\n X-Case: a\r\nContent-Length: 5\r\n\r\nhello"

_CONTROLS: dict[str, bytes] = {
    "value-with-escape": b"X-Case: a\x1bb", "value-with-delete": b"X-Case: a\x7fb",
    "value-with-bell": b"X-Case: a\x07b", "value-with-vertical-tab": b"X-Case: a\x0bb",
    "value-with-form-feed": b"X-Case: a\x0cb", "value-with-soh": b"X-Case: \x01",
}  # fmt: skip

_GOOD_FIELDS: dict[str, tuple[tuple[bytes, ...], dict[bytes, list[bytes]]]] = {
    "value-empty": ((b"X-Case:",), {b"x-case": [b""]}),
    "value-without-space": ((b"X-Case:a",), {b"x-case": [b"a"]}),
    "value-padded": ((b"X-Case: \t a \t ",), {b"x-case": [b"a"]}),
    "value-with-tab": ((b"X-Case: a\tb",), {b"x-case": [b"a\tb"]}),
    "value-with-obs-text": ((b"X-Case: caf\xe9",), {b"x-case": [b"caf\xe9"]}),
    "value-in-utf-8": ((b"X-Case: \xe2\x9c\x93",), {b"x-case": [b"\xe2\x9c\x93"]}),
    "value-with-colons": ((b"X-Case: a:b: c",), {b"x-case": [b"a:b: c"]}),
    "value-of-4000-bytes": ((b"X-Case: " + b"x" * 4000,), {b"x-case": [b"x" * 4000]}),
    "name-of-odd-characters": ((b"!#$%&'*+-.^_`|~09: a",), {b"!#$%&'*+-.^_`|~09": [b"a"]}),
    "name-with-underscore": ((b"X_Case: a",), {b"x_case": [b"a"]}),
    "repeated": ((b"X-Case: a", b"X-Case: b", b"x-case: a"), {b"x-case": [b"a", b"b", b"a"]}),
    "cookies-are-not-merged": (
        (b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2", b"SET-COOKIE: c=3, d"),
        {b"set-cookie": [b"a=1; Path=/", b"b=2", b"c=3, d"]},
    ),
    "challenges-are-not-merged": (
        (b"WWW-Authenticate: Basic", b"WWW-Authenticate: Digest nonce=x"),
        {b"www-authenticate": [b"Basic", b"Digest nonce=x"]},
    ),
    "sixty-fields": (
        tuple(b"X-Case-%d: %d" % (n, n) for n in range(60)),
        {b"x-case-59": [b"59"]},
    ),
    "coding-of-content-stays": ((b"Content-Encoding: gzip",), {b"content-encoding": [b"gzip"]}),
    "date-stays": (
        (b"Date: Tue, 15 Nov 1994 08:12:31 GMT",),
        {b"date": [b"Tue, 15 Nov 1994 08:12:31 GMT"]},
    ),
    "location-stays": ((b"Location: //elsewhere/x y",), {b"location": [b"//elsewhere/x y"]}),
    "via-stays": ((b"Via: 1.1 inner",), {b"via": [b"1.1 inner"]}),
}


def _field_lines() -> list[Case]:
    good = [
        answer(name, _FIELD, response(FIVE, *fields, body=HELLO), whole(fields=expected))
        for name, (fields, expected) in _GOOD_FIELDS.items()
    ]
    bad = [
        answer(name, why, response(FIVE, line, body=HELLO), BAD, *repaired)
        for name, (why, line, repaired) in _BAD_FIELDS.items()
    ]
    controls = [
        answer(name, _OTHER, response(FIVE, line, body=HELLO), BAD, whole())
        for name, line in _CONTROLS.items()
    ]
    ends = [
        answer("lines-end-in-lf", _LF, response(FIVE, body=HELLO, end=b"\n"), BAD, whole()),
        answer("one-line-ends-in-lf", _LF, response(FIVE + b"\nX: a", body=HELLO), BAD, whole()),
        answer(
            "head-ends-in-lf", _LF, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello", BAD, whole()
        ),
        answer("status-line-ends-in-lf", _LF, OK.replace(b"OK\r\n", b"OK\n"), BAD, whole()),
        answer("lines-end-in-cr", _FIELD, response(FIVE, body=HELLO, end=b"\r"), BAD, then="close"),
        answer(
            "lines-end-in-cr-cr-lf", _FIELD, response(FIVE, body=HELLO, end=b"\r\r\n"), BAD, whole()
        ),
        answer("fold-after-status-line", _FOLD, _FIRST_FOLD, BAD, whole()),
    ]
    return [*good, *bad, *controls, *ends]


# ---- sizes

_SIZE = "Heads are bounded: a response that never ends its head must not fill memory"


def _sizes() -> list[Case]:
    filler = b"X-Filler: " + b"x" * 1000
    return [
        answer("three-kilobytes", _SIZE, response(FIVE, *[filler] * 3, body=HELLO), whole()),
        answer("hundred-fields", _SIZE, response(FIVE, *[b"X: y"] * 99, body=HELLO), whole(), BAD),
        answer("thousand-fields", _SIZE, response(FIVE, *[b"X: y"] * 1000, body=HELLO), BAD),
        answer("hundred-kilobytes", _SIZE, response(FIVE, *[filler] * 100, body=HELLO), BAD),
        answer(
            "one-field-of-100-kilobytes",
            _SIZE,
            response(FIVE, b"X: " + b"y" * 100_000, body=HELLO),
            BAD,
        ),
        answer("name-of-100-kilobytes", _SIZE, response(FIVE, b"x" * 100_000 + b": y"), BAD),
        answer("reason-of-100-kilobytes", _SIZE, b"HTTP/1.1 200 " + b"x" * 100_000, BAD, then="hang"),
        answer("never-ending-head", _SIZE, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, BAD, then="hang"),
        answer("never-ending-field", _SIZE, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, BAD, then="hang"),
    ]  # fmt: skip


# ---- fields of one connection

_HOP = (
    "RFC 9110 section 7.6.1: fields of this connection, and those that Connection names, end here"
)

_HOPS: dict[str, tuple[bytes, ...]] = {
    "keep-alive": (b"Keep-Alive: timeout=5", b"Connection: keep-alive"),
    "proxy-connection": (b"Proxy-Connection: keep-alive",),
    "te": (b"TE: trailers",),
    "x-named": (b"Connection: X-Named", b"X-Named: secret"),
    "x-named-in-list": (b"Connection: keep-alive, x-named", b"X-Named: secret"),
    "x-named-by-second-field": (b"Connection: keep-alive", b"Connection: X-NAMED", b"X-Named: a"),
    "x-named-before": (b"X-Named: secret", b"Connection: x-named"),
    "x-named-twice": (b"X-Named: a", b"X-Named: b", b"Connection: x-named"),
}


def _hops() -> list[Case]:
    found = [
        answer(
            name,
            _HOP,
            response(FIVE, *fields, body=HELLO),
            whole(
                fields={
                    b"keep-alive": [],
                    b"proxy-connection": [],
                    b"te": [],
                    b"x-named": [],
                }
            ),
        )
        for name, fields in _HOPS.items()
    ]
    framing = "RFC 9112 section 6: naming a framing field in Connection changes no framing"
    return [
        *found,
        answer("length-named", framing, response(FIVE, b"Connection: content-length", body=HELLO), whole()),
        answer(
            "coding-named",
            framing,
            response(CHUNKED, b"Connection: transfer-encoding", body=chunks(HELLO)),
            whole(),
        ),
        answer("close-is-of-that-connection", _HOP, response(FIVE, b"Connection: close", body=HELLO),
               whole(), then="close"),
        answer("connection-option-is-no-token", _HOP, response(FIVE, b"Connection: a b", body=HELLO), BAD, whole()),
        answer("upgrade-without-asking", _HOP, response(FIVE, b"Upgrade: h2c", b"Connection: upgrade", body=HELLO),
               whole(fields={b"upgrade": []})),
        answer("trailer-field", "RFC 9110 section 6.6.2",
               response(CHUNKED, b"Trailer: X", body=chunks(HELLO)), whole()),
        answer("date-is-added", "RFC 9110 section 6.6.1: a recipient with a clock adds Date", OK, whole()),
        answer("old-client-keeps", _HOP, OK, whole(closes=None), probe=False,
               sends=get(b"Connection: keep-alive", version=b"HTTP/1.0")),
    ]  # fmt: skip


GROUPS = (
    Group(name="response-status", title="Responses: status lines", cases=tuple(_status_lines())),
    Group(name="response-fields", title="Responses: field lines", cases=tuple(_field_lines())),
    Group(name="response-sizes", title="Responses: sizes of heads", cases=tuple(_sizes())),
    Group(name="response-hops", title="Responses: fields of one connection", cases=tuple(_hops())),
)
