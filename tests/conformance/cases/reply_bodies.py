"""Where responses end: lengths, codings, chunks, truncation, and bytes after the end."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Pause, Said, Story
from tests.conformance.cases.replies import (
    BAD,
    CHUNKED,
    CUT,
    FIVE,
    HELLO,
    LAST,
    OK,
    TEXT,
    answer,
    by_backend,
    chunks,
    head_request,
    response,
    whole,
)
from tests.conformance.cases.words import get

_LENGTH = "RFC 9112 section 6.3, rule 5: a proxy answers 502 to a response with an invalid length"
_BOTH = "RFC 9112 section 6.3, rule 3: both framings ought to be handled as an error"
_SAME = "RFC 9110 section 8.6: equal lengths may be replaced by one, or the message refused"

_BAD_LENGTHS: dict[str, bytes] = {
    "empty": b"", "minus": b"-5", "plus": b"+5", "minus-zero": b"-0", "hex": b"0x5", "float": b"5.0",
    "inner-space": b"5 5", "word": b"five", "suffix": b"5b", "comma": b",", "trailing-comma": b"5,",
    "semicolon": b"5;x=1", "quoted": b'"5"', "underscore": b"0_5", "obs-text-digit": b"\xb2",
    "vertical-tab": b"\x0b5", "over-63-bits": b"9223372036854775813", "over-64-bits": b"18446744073709551621",
    "thirty-digits": b"9" * 30, "list-different": b"5, 6", "list-with-word": b"5, x",
}  # fmt: skip

_CONFLICTS: dict[str, tuple[str, tuple[bytes, ...], tuple[Story, ...]]] = {
    "two-different": (_LENGTH, (FIVE, b"Content-Length: 6"), ()),
    "two-different-case": (_LENGTH, (FIVE, b"content-length: 3"), ()),
    "two-same": (_SAME, (FIVE, FIVE), (whole(),)),
    "three-same": (_SAME, (FIVE, FIVE, FIVE), (whole(),)),
    "list-same": (_SAME, (b"Content-Length: 5, 5",), (whole(),)),
    "twin-with-zero": (_SAME, (FIVE, b"Content-Length: 05"), (whole(),)),
    "second-empty": (_LENGTH, (FIVE, b"Content-Length:"), ()),
}


def _lengths() -> list[Case]:
    bad = [
        answer(f"length-{name}", _LENGTH, response(b"Content-Length: " + value, body=HELLO), BAD)
        for name, value in _BAD_LENGTHS.items()
    ]
    conflicts = [
        answer(f"lengths-{name}", why, response(*fields, body=HELLO), BAD, *repaired)
        for name, (why, fields, repaired) in _CONFLICTS.items()
    ]
    both = [
        answer(f"length-beside-coding-{name}", _BOTH, raw, BAD, whole(), CUT)
        for name, raw in {
            "after": response(CHUNKED, FIVE, body=chunks(HELLO)),
            "before": response(FIVE, CHUNKED, body=chunks(HELLO)),
            "zero": response(b"Content-Length: 0", CHUNKED, body=chunks(HELLO)),
            "of-identity": response(FIVE, b"Transfer-Encoding: identity", body=HELLO),
            "of-the-raw-body": response(b"Content-Length: 20", CHUNKED, body=chunks(HELLO)),
        }.items()
    ]
    good = "RFC 9112 section 6.3"
    return [
        *bad,
        *conflicts,
        *both,
        answer("length-zero", good, response(b"Content-Length: 0"), whole(b"")),
        answer("length-five", good, OK, whole(fields={b"content-length": [b"5"]})),
        answer("length-leading-zeros", good, response(b"Content-Length: 005", body=HELLO), whole(), BAD),
        answer("length-padded", good, response(b"Content-Length: \t5 \t", body=HELLO), whole()),
        answer("length-of-200-kilobytes", good, response(b"Content-Length: 200000", body=b"x" * 200_000),
               whole(b"x" * 200_000)),
        answer("length-in-pieces", good, (OK[:30], Pause(), OK[30:-3], Pause(), OK[-3:]), whole()),
    ]  # fmt: skip


# ---- transfer codings and chunks

_CODING = (
    "RFC 9112 section 6.3, rule 4: not chunked at the end, so the response ends with the connection"
)
_OLD_CODING = "RFC 9112 section 6.1: a transfer coding in HTTP/1.0 is faulty framing"
_CHUNK = "RFC 9112 section 7.1: chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF"
_TRAILER = "RFC 9110 section 6.5.1: a recipient may merge, keep or discard trailers"

_BAD_CODINGS: dict[str, bytes] = {
    "gzip": b"gzip", "gzip-chunked": b"gzip, chunked", "chunked-gzip": b"chunked, gzip", "identity": b"identity",
    "chunked-twice": b"chunked, chunked", "xchunked": b"xchunked", "chunked-parameter": b"chunked;q=1",
    "empty": b"", "quoted": b'"chunked"', "chunked-dot": b"chunked.", "chunked-space-inside": b"chun ked",
    "vertical-tab": b"\x0bchunked", "comma": b"chunked,", "leading-comma": b",chunked", "two-words": b"chunked x",
}  # fmt: skip

_BAD_CHUNKS: dict[str, bytes] = {
    "size-empty": b"\r\nhello\r\n0\r\n\r\n",
    "size-word": b"five\r\nhello\r\n0\r\n\r\n",
    "size-negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size-signed": b"+5\r\nhello\r\n0\r\n\r\n",
    "size-prefixed": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size-with-space-before": b" 5\r\nhello\r\n0\r\n\r\n",
    "size-with-space-inside": b"0 5\r\nhello\r\n0\r\n\r\n",
    "size-overflows": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size-of-17-digits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size-underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "size-ends-in-cr-x": b"5\rxhello\r\n0\r\n\r\n",
    "extension-with-nul": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "extension-with-cr": b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
    "data-without-crlf": b"5\r\nhello0\r\n\r\n",
    "data-longer-than-size": b"5\r\nhello!\r\n0\r\n\r\n",
    "data-shorter-than-size": b"5\r\nhell\r\n0\r\n\r\n",
    "data-ends-in-cr-x": b"5\r\nhello\rx0\r\n\r\n",
    "data-ends-in-two-lfs": b"5\r\nhello\n\n0\r\n\r\n",
    "no-chunks": b"hello\r\n",
}

_LENIENT_CHUNKS: dict[str, bytes] = {
    "size-ends-in-lf": b"5\nhello\r\n0\r\n\r\n",
    "data-ends-in-lf": b"5\r\nhello\n0\r\n\r\n",
    "last-ends-in-lf": b"5\r\nhello\r\n0\n\n",
    "size-with-space-after": b"5 \r\nhello\r\n0\r\n\r\n",
    "size-of-sixteen-zeros": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "extension-of-5000-bytes": b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n",
    "extension-without-name": b"5;\r\nhello\r\n0\r\n\r\n",
    "extension-after-space": b"5 x\r\nhello\r\n0\r\n\r\n",
}

_GOOD_CHUNKS: dict[str, bytes] = {
    "one": chunks(HELLO),
    "one-byte-each": chunks(*[bytes([byte]) for byte in HELLO]),
    "upper-case-size": b"A\r\nhellohello\r\n0\r\n\r\n",
    "leading-zeros": b"005\r\nhello\r\n000\r\n\r\n",
    "extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "extension-quoted": b'5;a="b;\\"\tc"\r\nhello\r\n0\r\n\r\n',
    "none": LAST,
    "content-looks-like-the-end": chunks(b"0\r\n\r\n"),
    "content-looks-like-a-response": chunks(OK),
    "trailer": chunks(HELLO, tail=b"0\r\nX-Trailer: a\r\n\r\n"),
    "trailer-of-cookie": chunks(HELLO, tail=b"0\r\nSet-Cookie: a=b\r\n\r\n"),
    "200-kilobytes": chunks(*[b"x" * 8192] * 25),
}

_BAD_TRAILERS: dict[str, bytes] = {
    "without-colon": b"0\r\nX-Trailer\r\n\r\n",
    "with-space-before-colon": b"0\r\nX-Trailer : a\r\n\r\n",
    "with-nul": b"0\r\nX-Trailer: \x00\r\n\r\n",
    "folded": b"0\r\nX-Trailer: a\r\n b\r\n\r\n",
    "of-100-kilobytes": b"0\r\nX-Trailer: " + b"x" * 100_000 + b"\r\n\r\n",
    "of-framing": b"0\r\nContent-Length: 99\r\n\r\n",
    "of-coding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "of-connection": b"0\r\nConnection: close\r\n\r\n",
    "never-ending": b"0\r\n" + b"X-Trailer: a\r\n" * 10_000,
}


def _content(raw: bytes) -> bytes:
    """Return the content of a good body in chunks."""
    content = b""
    while True:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if not size:
            return content
        content, raw = content + raw[:size], raw[size + 2 :]


def _codings() -> list[Case]:
    bad = [
        answer(
            f"coding-{name}",
            _CODING,
            response(b"Transfer-Encoding: " + value, body=chunks(HELLO)),
            BAD,
            CUT,
            by_backend(200),
            then="close",
        )
        for name, value in _BAD_CODINGS.items()
    ]
    twice = response(CHUNKED, CHUNKED, body=chunks(HELLO))
    old = response(CHUNKED, body=chunks(HELLO), line=b"HTTP/1.0 200 OK")
    return [
        *bad,
        answer("coding-field-twice", _CODING, twice, BAD, CUT, by_backend(200), then="close"),
        answer("coding-in-http-1-0", _OLD_CODING, old, BAD, CUT, by_backend(200), then="close"),
        answer(
            "coding-upper-case",
            "RFC 9112 section 7: names of codings are case-insensitive",
            response(b"Transfer-Encoding: CHUNKED", body=chunks(HELLO)),
            whole(),
        ),
    ]


def _chunks() -> list[Case]:
    good = [
        answer(f"chunks-{name}", _CHUNK, response(CHUNKED, body=raw), whole(_content(raw)))
        for name, raw in _GOOD_CHUNKS.items()
    ]
    bad = [
        answer(f"chunks-{name}", _CHUNK, response(CHUNKED, body=raw), BAD, CUT, then="close")
        for name, raw in _BAD_CHUNKS.items()
    ]
    later = [
        answer(
            f"chunks-{name}-later",
            _CHUNK,
            (response(CHUNKED), Pause(), raw),
            CUT,
            BAD,
            then="close",
        )
        for name, raw in _BAD_CHUNKS.items()
    ]
    lenient = [
        answer(f"chunks-{name}", _CHUNK, response(CHUNKED, body=raw), BAD, CUT, whole())
        for name, raw in _LENIENT_CHUNKS.items()
    ]
    trailers = [
        answer(
            f"trailer-{name}",
            _TRAILER,
            response(CHUNKED, body=chunks(HELLO, tail=raw)),
            BAD,
            CUT,
            whole(),
            then="close",
        )
        for name, raw in _BAD_TRAILERS.items()
    ]
    pieces = response(CHUNKED, body=chunks(b"hel", b"lo"))
    inside = [pieces[n : n + 1] for n in range(len(pieces))]
    return [
        *good, *bad, *later, *lenient, *trailers,
        answer("chunks-byte-by-byte", _CHUNK, [part for byte in inside for part in (byte, Pause(0.0))], whole()),
    ]  # fmt: skip


# ---- truncated

_SHORT = "RFC 9112 section 8: a response that ends too early is incomplete, and must look so to the client"


def _truncated() -> list[Case]:
    chunked = response(CHUNKED, body=chunks(HELLO, HELLO))
    start = len(response(CHUNKED))
    places = {
        "before-the-first-chunk": 0, "in-the-size": 1, "in-the-size-line": 2, "before-the-data": 3, "in-the-data": 5,
        "after-the-data": 8, "in-the-crlf": 9, "between-chunks": 10, "before-the-last-chunk": 20,
        "in-the-last-size-line": 21, "after-the-last-size-line": 23, "in-the-last-line": 24,
    }  # fmt: skip
    found: list[Case] = []
    for then in ("close", "reset"):
        for name, place in places.items():
            found.append(
                answer(
                    f"chunks-{then}-{name}", _SHORT, chunked[: start + place], CUT, BAD, then=then
                )
            )
        for name, left in {"by-one": 1, "by-two": 2, "by-all": 5}.items():
            found.append(
                answer(f"length-{then}-short-{name}", _SHORT, OK[:-left], CUT, BAD, then=then)
            )
        for name, size in {
            "in-the-version": 5,
            "in-the-status": 10,
            "in-the-reason": 16,
            "in-a-field": 25,
            "before-the-empty-line": len(OK) - 7,
            "in-the-empty-line": len(OK) - 6,
        }.items():
            found.append(answer(f"head-{then}-{name}", _SHORT, OK[:size], BAD, then=then))
        trailer = response(CHUNKED, body=chunks(HELLO, tail=b"0\r\nX-Trailer: a\r\n"))
        found.append(answer(f"chunks-{then}-in-the-trailers", _SHORT, trailer, CUT, BAD, then=then))
        found.append(
            answer(
                f"length-{then}-huge",
                _SHORT,
                response(b"Content-Length: 999999999999", body=HELLO),
                CUT,
                BAD,
                then=then,
            )
        )
        found.append(answer(f"nothing-{then}", _SHORT, b"", BAD, then=then))
    large = response(b"Content-Length: 200001", body=b"x" * 200_000)
    found += [
        answer("length-close-large", _SHORT, large, CUT, then="close"),
        answer("until-close-reset", "RFC 9112 section 8: a reset is no end of a response",
               (response(TEXT, body=HELLO), Pause()), CUT, then="reset"),
        answer("old-until-close-reset", "RFC 9112 section 8: a reset is no end of a response",
               (response(TEXT, body=HELLO, line=b"HTTP/1.0 200 OK"), Pause()), CUT, then="reset"),
    ]  # fmt: skip
    return found


# ---- bytes after the end

_SPLIT = (
    "RFC 9112 section 6.3: bytes after a response must not be processed or forwarded as another one"
)
_POISON = response(TEXT, b"Content-Length: 6", b"X-Poison: 1", body=b"poison")


def _overlong() -> list[Case]:
    chunked = response(CHUNKED, body=chunks(HELLO))
    empty = response(line=b"HTTP/1.1 204 No Content")
    same = response(b'ETag: "a"', line=b"HTTP/1.1 304 Not Modified")
    firsts = {
        "length": (OK, whole(), b""),
        "length-zero": (response(b"Content-Length: 0"), whole(b""), b""),
        "chunks": (chunked, whole(), b""),
        "no-content": (empty, whole(b"", status=204), b""),
        "not-modified": (same, whole(b"", status=304), b""),
        "head": (response(TEXT, FIVE), whole(b"", method=b"HEAD"), head_request()),
    }
    extras = {
        "byte": b"x", "crlf": b"\r\n", "content": b" and more", "response": _POISON,
        "two-responses": _POISON * 2, "half-a-response": _POISON[:30], "last-chunk": LAST,
    }  # fmt: skip
    found: list[Case] = []
    for name, (first, story, sends) in firsts.items():
        for extra, more in extras.items():
            found.append(
                answer(f"{name}-and-{extra}", _SPLIT, first + more, story, BAD, sends=sends)
            )
        found.append(
            answer(
                f"{name}-and-response-later",
                _SPLIT,
                (first, Pause(0.002), _POISON),
                story,
                BAD,
                sends=(sends or get(), Said()),
            )
        )
    return found


GROUPS = (
    Group(name="response-lengths", title="Responses: lengths", cases=tuple(_lengths())),
    Group(name="response-codings", title="Responses: transfer codings", cases=tuple(_codings())),
    Group(name="response-chunks", title="Responses: chunks and trailers", cases=tuple(_chunks())),
    Group(name="response-truncated", title="Responses: cut short", cases=tuple(_truncated())),
    Group(
        name="response-overlong", title="Responses: bytes after the end", cases=tuple(_overlong())
    ),
)
