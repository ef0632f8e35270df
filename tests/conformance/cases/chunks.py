"""The chunked coding: sizes, extensions, line ends, trailers, and what is no chunk at all."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.words import BROKEN, DROPPED, case, chunked, passed, posted, refused

_SIZE = "RFC 9112 section 7.1: a chunk size is hexadecimal digits and nothing else"
_LINE = "RFC 9112 section 7.1, CVE-2025-22871: every line of the coding ends in CRLF"
_EXT = "RFC 9112 section 7.1.1: chunk-ext = *( BWS ';' BWS name [ BWS '=' BWS ( token / quoted-string ) ] )"
_TERMINATOR = "CVE-2025-55315: readers disagree where a line with CR or LF in its extension ends"
_TRAILER = "RFC 9110 section 6.5.1: framing, routing, authentication and content fields must not be trailers"
_END = b"0\r\n\r\n"
_CHUNK = b"5\r\nhello\r\n"

_GOOD: dict[str, tuple[bytes, bytes]] = {
    "one": (_CHUNK + _END, b"hello"),
    "empty": (_END, b""),
    "two": (_CHUNK + b"6\r\n world\r\n" + _END, b"hello world"),
    "upper-hex": (b"A\r\nhelloworld\r\n" + _END, b"helloworld"),
    "lower-hex": (b"a\r\nhelloworld\r\n" + _END, b"helloworld"),
    "mixed-hex": (
        b"1a\r\n" + b"x" * 26 + b"\r\n1A\r\n" + b"y" * 26 + b"\r\n" + _END,
        b"x" * 26 + b"y" * 26,
    ),
    "single-bytes": (b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + _END, b"hello"),
    "crlf-content": (b"4\r\n\r\n\r\n\r\n" + _END, b"\r\n\r\n"),
    "content-looks-like-end": (b"5\r\n0\r\n\r\n\r\n" + _END, b"0\r\n\r\n"),
    "nul-content": (b"2\r\n\x00\x00\r\n" + _END, b"\x00\x00"),
    "large": (b"10000\r\n" + b"x" * 65536 + b"\r\n" + _END, b"x" * 65536),
    "many": (b"1\r\nx\r\n" * 2000 + _END, b"x" * 2000),
    "extension-token": (b"5;a=b\r\nhello\r\n" + _END, b"hello"),
    "extension-name-only": (b"5;a\r\nhello\r\n" + _END, b"hello"),
    "extension-quoted": (b'5;a="b c"\r\nhello\r\n' + _END, b"hello"),
    "extension-quoted-semicolon": (b'5;a="b;c=d"\r\nhello\r\n' + _END, b"hello"),
    "extension-escaped-quote": (b'5;a="b\\"c"\r\nhello\r\n' + _END, b"hello"),
    "extensions-two": (b"5;a=b;c\r\nhello\r\n" + _END, b"hello"),
    "extension-on-last": (_CHUNK + b"0;a=b\r\n\r\n", b"hello"),
    "trailer": (_CHUNK + b"0\r\nX-Checksum: abc\r\n\r\n", b"hello"),
    "trailers-two": (_CHUNK + b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", b"hello"),
    "trailer-empty-value": (_CHUNK + b"0\r\nX-A:\r\n\r\n", b"hello"),
}

_MAY: dict[str, tuple[bytes, bytes]] = {
    "leading-zeros": (b"005\r\nhello\r\n" + _END, b"hello"),
    "last-of-zeros": (_CHUNK + b"000\r\n\r\n", b"hello"),
    "last-of-many-zeros": (_CHUNK + b"0" * 40 + b"\r\n\r\n", b"hello"),
    "bad-whitespace-before-extension": (b"5 ;a=b\r\nhello\r\n" + _END, b"hello"),
    "bad-whitespace-in-extension": (b"5; a = b\r\nhello\r\n" + _END, b"hello"),
    "extension-200-bytes": (b"5;a=" + b"b" * 200 + b"\r\nhello\r\n" + _END, b"hello"),
    "trailer-not-announced": (b"".join((_CHUNK, b"0\r\nX-Late: 1\r\n\r\n")), b"hello"),
}
"""Legal, but a reader may well refuse it."""

_BAD_SIZES: dict[str, bytes] = {
    "empty": b"", "minus": b"-5", "minus-zero": b"-0", "plus": b"+5", "hex-prefix": b"0x5", "hex-prefix-upper": b"0X5",
    "leading-space": b" 5", "leading-tab": b"\t5", "trailing-space": b"5 ", "trailing-tab": b"5\t",
    "inner-space": b"0 5",
    "underscore": b"0_5", "underscore-last": b"5_", "comma": b"5,", "dot": b"5.0", "letter": b"g",
    "letter-after": b"5g",
    "h-suffix": b"5h", "quoted": b'"5"', "vertical-tab": b"5\x0b", "form-feed": b"\x0c5", "nul": b"5\x00",
    "nul-first": b"\x005", "byte-ff": b"5\xff", "non-breaking-space": b"\xa05", "fullwidth": b"\xef\xbc\x95",
    "backslash": b"5\\", "percent": b"%35", "colon": b"5:", "equals": b"5=", "slash": b"5/", "exclamation": b"5!",
    "brace": b"{5}", "over-64-bits": b"10000000000000005", "wraps-64-bits": b"FFFFFFFFFFFFFFFF5",
    "max-64-bits": b"ffffffffffffffff", "max-63-bits": b"7fffffffffffffff", "sign-bit": b"8000000000000005",
    "f-twenty": b"f" * 20, "f-thousand": b"f" * 1000, "wraps-with-zeros": b"100000000000000000005",
}  # fmt: skip

_BAD_LINES: dict[str, tuple[bytes, str]] = {
    "lf-after-size": (b"5\nhello\r\n" + _END, _LINE),
    "lf-after-content": (b"5\r\nhello\n" + _END, _LINE),
    "cr-after-size": (b"5\rhello\r\n" + _END, _LINE),
    "cr-after-content": (b"5\r\nhello\r" + _END, _LINE),
    "crcr-after-size": (b"5\r\r\nhello\r\n" + _END, _LINE),
    "lfcr-after-size": (b"5\n\rhello\r\n" + _END, _LINE),
    "no-line-after-content": (b"5\r\nhello" + _END, _LINE),
    "content-too-long": (b"5\r\nhello!\r\n" + _END, _LINE),
    "content-spills": (b"5\r\nhelloXX0\r\n\r\n", _LINE),
    "two-bytes-for-crlf": (b"5\r\nhelloXX" + b"\r\n" + _END, _LINE),
    "space-after-content": (b"5\r\nhello \r\n" + _END, _LINE),
    "empty-line-before-size": (b"\r\n" + _CHUNK + _END, _LINE),
    "empty-line-between": (_CHUNK + b"\r\n" + _END, _LINE),
    "lf-only": (b"5\nhello\n0\n\n", _LINE),
    "last-lf": (_CHUNK + b"0\n\r\n", _LINE),
    "last-lf-lf": (_CHUNK + b"0\n\n", _LINE),
    "last-crlf-lf": (_CHUNK + b"0\r\n\n", _LINE),
    "last-cr-cr": (_CHUNK + b"0\r\r\n", _LINE),
    "last-crlf-cr-x": (_CHUNK + b"0\r\n\rX", _LINE),
    "nul-line": (_CHUNK + b"\x00\r\n" + _END, _LINE),
    "lf-in-extension": (b"5;a\nhello\r\n" + _END, _TERMINATOR),
    "lf-in-extension-then-crlf": (b"5;\nx\r\nhello\r\n" + _END, _TERMINATOR),
    "lf-in-extension-value": (b"5;a=b\nc\r\nhello\r\n" + _END, _TERMINATOR),
    "cr-in-extension": (b"5;a\rb\r\nhello\r\n" + _END, _TERMINATOR),
    "cr-in-extension-value": (b"5;a=b\rX\r\nhello\r\n" + _END, _TERMINATOR),
    "cr-ends-extension": (b"5;a\rhello\r\n" + _END, _TERMINATOR),
    "crcr-ends-extension": (b"5;a\r\r\nhello\r\n" + _END, _TERMINATOR),
    "lf-in-quoted-extension": (b'5;a="b\nc"\r\nhello\r\n' + _END, _TERMINATOR),
    "cr-in-quoted-extension": (b'5;a="b\rc"\r\nhello\r\n' + _END, _TERMINATOR),
    "crlf-in-quoted-extension": (b'5;a="b\r\nc"\r\nhello\r\n' + _END, _TERMINATOR),
    "escaped-crlf-in-quoted-extension": (b'5;a="b\\\r\nc"\r\nhello\r\n' + _END, _TERMINATOR),
    "lf-in-last-extension": (_CHUNK + b"0;a\nb\r\n\r\n", _TERMINATOR),
    "lf-ends-last-extension": (_CHUNK + b"0;a\n\r\n", _TERMINATOR),
    "term-ext": (b"5;\n" + b"hello\r\n" + _END, _TERMINATOR),
    "ext-term-smuggle": (b"2;\nxx\r\n4c\r\n0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n" + _END, _TERMINATOR),
    "nul-in-extension": (b"5;a=\x00\r\nhello\r\n" + _END, _EXT),
    "control-in-extension": (b"5;a=\x01\r\nhello\r\n" + _END, _EXT),
    "delete-in-extension": (b"5;a=\x7f\r\nhello\r\n" + _END, _EXT),
    "nul-in-quoted-extension": (b'5;a="\x00"\r\nhello\r\n' + _END, _EXT),
    "extension-without-name": (b"5;\r\nhello\r\n" + _END, _EXT),
    "extension-only-value": (b"5;=b\r\nhello\r\n" + _END, _EXT),
    "extension-no-value": (b"5;a=\r\nhello\r\n" + _END, _EXT),
    "extension-two-semicolons": (b"5;;a=b\r\nhello\r\n" + _END, _EXT),
    "extension-trailing-semicolon": (b"5;a=b;\r\nhello\r\n" + _END, _EXT),
    "extension-bracket": (b"5;bad[=x\r\nhello\r\n" + _END, _EXT),
    "extension-space-in-name": (b"5;a b=c\r\nhello\r\n" + _END, _EXT),
    "extension-open-quote": (b'5;a="b\r\nhello\r\n' + _END, _EXT),
    "extension-after-quote": (b'5;a="b"c\r\nhello\r\n' + _END, _EXT),
    "extension-non-ascii-name": (b"5;\xc3\xa9=b\r\nhello\r\n" + _END, _EXT),
    "extension-comma": (b"5,a=b\r\nhello\r\n" + _END, _EXT),
    "extension-colon": (b"5:a=b\r\nhello\r\n" + _END, _EXT),
    "extension-space-only": (b"5 a\r\nhello\r\n" + _END, _EXT),
    "extension-64k": (b"5;a=" + b"b" * 65536 + b"\r\nhello\r\n" + _END, "CVE-2023-39326: extensions are bounded"),
    "extensions-in-all": (b"".join(b"1;a=" + b"b" * 240 + b"\r\nx\r\n" for _ in range(600)) + _END,
                          "CVE-2023-39326: the sum of extensions is bounded, not only one"),
}  # fmt: skip

_LENIENT_EXT = frozenset(
    {
        "extension-without-name", "extension-only-value", "extension-no-value", "extension-two-semicolons",
        "extension-trailing-semicolon", "extension-bracket", "extension-space-in-name", "extension-open-quote",
        "extension-after-quote", "extension-non-ascii-name", "extension-64k", "extensions-in-all",
        "delete-in-extension",
    }
)  # fmt: skip
"""A recipient that ignores extensions may not look into them (RFC 9112 section 7.1.1): it must agree on the end."""

_FORBIDDEN_TRAILERS = (
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: evil.test", b"Authorization: Bearer evil",
    b"Content-Type: text/evil", b"Content-Encoding: gzip", b"Content-Range: bytes 0-1/2", b"Trailer: x",
    b"TE: trailers",
    b"Connection: close", b"Upgrade: h2c", b"Expect: 100-continue", b"Cookie: a=b", b"X-Forwarded-For: 192.0.2.1",
    b"Max-Forwards: 0", b"X-Gateway-Tenant: evil", b"Cache-Control: no-store", b"Range: bytes=0-1",
)  # fmt: skip

_DROPPED = frozenset({b"x-forwarded-for", b"x-gateway-tenant", b"cache-control"})
"""Not of the kinds that the RFC names; they are dropped like all others."""

_BAD_TRAILERS: dict[str, bytes] = {
    "space-before-colon": b"X-A : 1\r\n", "leading-space": b" X-A: 1\r\n", "no-colon": b"X-A\r\n",
    "empty-name": b": 1\r\n",
    "name-bracket": b"X[: 1\r\n", "name-nul": b"X\x00: 1\r\n", "value-nul": b"X: \x00\r\n", "value-cr": b"X: a\rb\r\n",
    "value-control": b"X: \x01\r\n", "bare-lf": b"X: 1\n", "obs-fold": b"X: 1\r\n 2\r\n",
    "name-non-ascii": b"\xc3\xa9: 1\r\n",
    "request-line": b"GET /v1/smuggled HTTP/1.1\r\n",
}  # fmt: skip


def _good() -> list[Case]:
    strict = [
        case(name, "RFC 9112 section 7.1", chunked(raw), posted(body), splits=len(raw) < 3000)
        for name, (raw, body) in _GOOD.items()
    ]
    return strict + [
        case(f"may-{name}", "RFC 9112 section 7.1: legal, and seldom good", chunked(raw), *_either(name, posted(body)))
        for name, (raw, body) in _MAY.items()
    ]  # fmt: skip


def _either(name: str, taken: Story) -> tuple[Story, Story]:
    return (BROKEN, taken) if name == "last-of-many-zeros" else (taken, BROKEN)


def _sizes() -> list[Case]:
    too_large = refused(400, 413, closes=True, partial=True)
    found = [
        case(name, _SIZE, chunked(size + b"\r\nhello\r\n" + _END), too_large)
        for name, size in _BAD_SIZES.items()
    ]
    return found + [
        case(f"second-{name}", _SIZE, chunked(_CHUNK + _BAD_SIZES[name] + b"\r\nhello\r\n" + _END), too_large)
        for name in ("minus", "hex-prefix", "leading-space", "empty", "over-64-bits", "nul", "underscore",
        "trailing-space")
    ]  # fmt: skip


def _bad_lines() -> list[Case]:
    return [
        case(name, why, chunked(raw), BROKEN, *_lenient(name), splits=len(raw) < 3000)
        for name, (raw, why) in _BAD_LINES.items()
    ]


def _lenient(name: str) -> tuple[Story, ...]:
    if name == "extensions-in-all":
        return (posted(b"x" * 600), refused(413, closes=True, partial=True))
    if name == "extension-64k":  # whoever closes without reading on resets the answer away
        return (posted(b"hello"), DROPPED)
    return (posted(b"hello"),) if name in _LENIENT_EXT else ()


def _trailers() -> list[Case]:
    found = []
    for line in _FORBIDDEN_TRAILERS:
        name = line.split(b":")[0].lower()
        # Whether it is dropped, kept apart or refused: it must not have become a field of the head.
        kept = passed(b"hello", method=b"POST", fields=_unmerged(name))
        raw = chunked(_CHUNK + b"0\r\n" + line + b"\r\n\r\n")
        stories = (kept, BROKEN) if name in _DROPPED else (BROKEN, kept)
        found.append(case(f"forbidden-{name.decode()}", _TRAILER, raw, *stories))
    found += [
        case(f"malformed-{name}", "RFC 9112 section 7.1.2: trailers are field lines",
             chunked(_CHUNK + b"0\r\n" + raw + b"\r\n"), BROKEN)
        for name, raw in _BAD_TRAILERS.items()
    ]  # fmt: skip
    limit = refused(400, 413, 431, closes=True, partial=True)
    return [
        *found,
        case("too-large", "trailers are bounded", chunked(_CHUNK + b"0\r\nX: " + b"y" * 70000 + b"\r\n\r\n"), limit,
        posted(b"hello"), DROPPED,
             splits=False),
        case("too-many", "trailers are bounded", chunked(_CHUNK + b"0\r\n" + b"X: y\r\n" * 20000 + b"\r\n"), limit,
        posted(b"hello"), DROPPED,
             splits=False),
    ]  # fmt: skip


def _unmerged(name: bytes) -> dict[bytes, list[bytes]]:
    judged = {
        b"content-length", b"host", b"connection", b"transfer-encoding", b"authorization", b"x-forwarded-for",
        b"expect",
    }  # fmt: skip
    return {} if name in judged else {name: []}


GROUPS = (
    Group(name="chunks", title="Chunked bodies: valid", cases=tuple(_good())),
    Group(name="chunk-sizes", title="Chunk sizes: malformed", cases=tuple(_sizes())),
    Group(
        name="chunk-lines", title="Chunk lines and extensions: malformed", cases=tuple(_bad_lines())
    ),
    Group(name="trailers", title="Trailers", cases=tuple(_trailers())),
)
