"""`Transfer-Encoding`: every spelling that one reader takes for chunked and another does not, alone and beside a
length."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.words import CLOSED, case, chunked, passed, post, posted, refused

_SMUGGLE = "RFC 9112 section 6.1: Transfer-Encoding beside Content-Length is an attack"
_FINAL = "RFC 9112 section 6.3, rule 4: chunked must be the final coding, or 400 and close"
_CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
_ZERO = b"0\r\n\r\n"

_SPELLINGS: dict[str, bytes] = {
    "empty": b"Transfer-Encoding:",
    "space": b"Transfer-Encoding:  ",
    "comma": b"Transfer-Encoding: ,",
    "x-prefix": b"Transfer-Encoding: xchunked",
    "x-suffix": b"Transfer-Encoding: chunkedx",
    "truncated": b"Transfer-Encoding: chunke",
    "parameter": b"Transfer-Encoding: chunked;x=1",
    "bare-parameter": b"Transfer-Encoding: chunked;",
    "quoted": b'Transfer-Encoding: "chunked"',
    "single-quoted": b"Transfer-Encoding: 'chunked'",
    "half-quoted": b'Transfer-Encoding: "chunked',
    "parenthesised": b"Transfer-Encoding: (chunked)",
    "inner-space": b"Transfer-Encoding: chun ked",
    "inner-tab": b"Transfer-Encoding: chun\tked",
    "twice-in-a-word": b"Transfer-Encoding: chunkedchunked",
    "two-words": b"Transfer-Encoding: chunked chunked",
    "word-before": b"Transfer-Encoding: x chunked",
    "word-after": b"Transfer-Encoding: chunked x",
    "colon-before": b"Transfer-Encoding: : chunked",
    "vertical-tab-before": b"Transfer-Encoding: \x0bchunked",
    "vertical-tab-after": b"Transfer-Encoding: chunked\x0b",
    "vertical-tab-tight": b"Transfer-Encoding:\x0bchunked",
    "form-feed-before": b"Transfer-Encoding: \x0cchunked",
    "form-feed-after": b"Transfer-Encoding: chunked\x0c",
    "nul-after": b"Transfer-Encoding: chunked\x00",
    "nul-before": b"Transfer-Encoding: \x00chunked",
    "backspace": b"Transfer-Encoding: \x08chunked",
    "delete": b"Transfer-Encoding: chunked\x7f",
    "escape": b"Transfer-Encoding: \x1bchunked",
    "unit-separator": b"Transfer-Encoding: chunked\x1f",
    "non-breaking-space": b"Transfer-Encoding: \xa0chunked",
    "byte-ff": b"Transfer-Encoding: \xffchunked",
    "byte-ff-after": b"Transfer-Encoding: chunked\xff",
    "dotless-i": b"Transfer-Encoding: chunke\xc4\xb1d",
    "long-s": b"Tran\xc5\xbffer-Encoding: chunked",
    "kelvin-sign": b"Transfer-Encoding: chun\xe2\x84\xaaed",
    "bare-cr-before": b"Transfer-Encoding: \rchunked",
    "bare-cr-after": b"Transfer-Encoding: chunked\r",
    "bare-cr-tight": b"Transfer-Encoding:\rchunked",
    "bare-lf-before": b"Transfer-Encoding: \nchunked",
    "bare-lf-after-name": b"Transfer-Encoding\n: chunked",
    "obs-fold": b"Transfer-Encoding:\r\n chunked",
    "obs-fold-tab": b"Transfer-Encoding:\r\n\tchunked",
    "obs-fold-after": b"Transfer-Encoding: chunked\r\n x",
    "obs-fold-empty": b"Transfer-Encoding: chunked\r\n ",
    "obs-fold-inside": b"Transfer-Encoding: chun\r\n ked",
    "folded-name": b"Transfer-\r\n Encoding: chunked",
    "hidden-in-fold": b"X: y\r\n Transfer-Encoding: chunked",
    "after-bare-lf": b"X: y\nTransfer-Encoding: chunked",
    "after-bare-cr": b"X: y\rTransfer-Encoding: chunked",
    "space-before-colon": b"Transfer-Encoding : chunked",
    "tab-before-colon": b"Transfer-Encoding\t: chunked",
    "vertical-tab-before-colon": b"Transfer-Encoding\x0b: chunked",
    "nul-before-colon": b"Transfer-Encoding\x00: chunked",
    "cr-before-colon": b"Transfer-Encoding\r: chunked",
    "leading-space": b" Transfer-Encoding: chunked",
    "leading-tab": b"\tTransfer-Encoding: chunked",
    "leading-vertical-tab": b"\x0bTransfer-Encoding: chunked",
    "leading-nul": b"\x00Transfer-Encoding: chunked",
    "leading-non-breaking-space": b"\xa0Transfer-Encoding: chunked",
    "space-in-name": b"Transfer Encoding: chunked",
    "name-then-word": b"Transfer-Encoding x: chunked",
    "no-colon": b"Transfer-Encoding chunked",
    "slash-in-name": b"Transfer/Encoding: chunked",
    "equals": b"Transfer-Encoding= chunked",
    "identity": b"Transfer-Encoding: identity",
    "identity-last": b"Transfer-Encoding: chunked, identity",
    "gzip": b"Transfer-Encoding: gzip",
    "gzip-last": b"Transfer-Encoding: chunked, gzip",
    "cow": b"Transfer-Encoding: cow",
    "chunked-in-parameter": b'Transfer-Encoding: x;y=", chunked"',
    "list-trailing-semicolon": b"Transfer-Encoding: gzip;, chunked",
}
"""Field lines whose `chunked` some reader sees and some other does not; none may be taken for a plain body."""

_LISTS: dict[str, tuple[bytes, ...]] = {
    "double-chunked": (b"Transfer-Encoding: chunked, chunked",),
    "double-field": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "double-field-case": (b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED"),
    "identity-first": (b"Transfer-Encoding: identity, chunked",),
    "identity-field-first": (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    "identity-field-last": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "cow-field-first": (b"Transfer-Encoding: cow", b"Transfer-Encoding: chunked"),
    "cow-field-last": (b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow"),
    "empty-field-first": (b"Transfer-Encoding:", b"Transfer-Encoding: chunked"),
    "empty-field-last": (b"Transfer-Encoding: chunked", b"Transfer-Encoding:"),
    "gzip-first": (b"Transfer-Encoding: gzip, chunked",),
    "gzip-deflate-first": (b"Transfer-Encoding: gzip, deflate, chunked",),
    "gzip-field-first": (b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    "chunked-gzip-chunked": (b"Transfer-Encoding: chunked, gzip, chunked",),
    "tab-list": (b"Transfer-Encoding: gzip\t,\tchunked",),
}

_EMPTY_MEMBERS: dict[str, bytes] = {
    "leading-comma": b", chunked",
    "trailing-comma": b"chunked,",
    "commas": b",,chunked,,",
    "trailing-comma-space": b"chunked, ",
}

_VALID: dict[str, bytes] = {
    "plain": b"Transfer-Encoding: chunked",
    "no-space": b"Transfer-Encoding:chunked",
    "lower-case": b"transfer-encoding: chunked",
    "upper-case": b"TRANSFER-ENCODING: CHUNKED",
    "mixed-case": b"tRaNsFeR-eNcOdInG: cHuNkEd",
    "spaces": b"Transfer-Encoding:   chunked  ",
    "tabs": b"Transfer-Encoding:\tchunked\t",
}

_LENGTHS: dict[str, bytes] = {"whole": b"15", "short": b"4", "zero": b"0", "long": b"30"}


def _valid() -> list[Case]:
    why = "RFC 9112 section 7: codings are case-insensitive, whitespace around a value is not part of it"
    return [
        case(name, why, post(field, body=_CHUNKED), posted(b"hello"))
        for name, field in _VALID.items()
    ]


def _alone() -> list[Case]:
    return [
        case(name, _FINAL, post(field, body=_ZERO), CLOSED, *_repaired(name))
        for name, field in _SPELLINGS.items()
    ]


_AS_SPACE = frozenset(
    {
        "bare-cr-before",
        "bare-cr-after",
        "bare-cr-tight",
        "obs-fold",
        "obs-fold-tab",
        "obs-fold-empty",
    }
)
_AS_VALUE = frozenset({"hidden-in-fold", "leading-space", "leading-tab"})


def _repaired(name: str) -> tuple[Story, ...]:
    """What a repair leads to that RFC 9112 allows: a fold or a bare CR is a space, a bare LF ends a field line."""
    if name in _AS_SPACE or name == "after-bare-lf":
        return (posted(),)
    if name in _AS_VALUE:  # then there is no coding, no body, and what follows is no request
        return ((*posted(), *CLOSED),)
    return ()


def _chosen(name: str) -> tuple[Story, ...]:
    """The same beside a length: the coding wins, and the connection ends (RFC 9112 section 6.1)."""
    if name in _AS_SPACE or name == "after-bare-lf":
        return (passed(method=b"POST", closes=True, fields={b"content-length": []}),)
    return (posted(_ZERO),) if name in _AS_VALUE else ()


def _lists() -> list[Case]:
    lists = [
        case(name, _FINAL, post(*fields, body=_CHUNKED), CLOSED, *_once(name))
        for name, fields in _LISTS.items()
    ]
    why = "RFC 9110 section 5.6.1: empty list members are ignored, or refused"
    return lists + [
        case(name, why, post(b"Transfer-Encoding: " + value, body=_CHUNKED), CLOSED, posted(b"hello"))
        for name, value in _EMPTY_MEMBERS.items()
    ]  # fmt: skip


def _once(name: str) -> tuple[Story, ...]:
    return (posted(b"hello"),) if name in {"empty-field-first", "empty-field-last"} else ()


def _beside_length() -> list[Case]:
    """Every odd spelling beside a length: who overlooks it reads another body than who does not."""
    return [
        case(
            f"cl-{name}",
            _SMUGGLE,
            post(b"Content-Length: 5", field, body=_ZERO),
            CLOSED,
            *_chosen(name),
        )
        for name, field in _SPELLINGS.items()
    ]


def _both() -> list[Case]:
    te = b"Transfer-Encoding: chunked"
    found = []
    for name, length in _LENGTHS.items():
        cl = b"Content-Length: " + length
        both = (
            CLOSED,
            passed(b"hello", method=b"POST", closes=True, fields={b"content-length": []}),
        )
        found += [
            case(f"cl-te-{name}", _SMUGGLE, post(cl, te, body=_CHUNKED), CLOSED, *both[1:]),
            case(f"te-cl-{name}", _SMUGGLE, post(te, cl, body=_CHUNKED), CLOSED, *both[1:]),
        ]
    inner = b"GET /v1/smuggled HTTP/1.1\r\nHost: case.test\r\n\r\n"
    prefix = b"0\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nX: "
    taken = passed(b"", method=b"POST", closes=True)
    found += [
        case("cl-te-smuggled", _SMUGGLE, post(b"Content-Length: %d" % (5 + len(inner)), te, body=_ZERO + inner),
             CLOSED, taken),
        case("te-cl-smuggled", _SMUGGLE, post(te, b"Content-Length: 5", body=_ZERO + inner), CLOSED, taken),
        case("cl-te-prefix", _SMUGGLE, post(b"Content-Length: %d" % len(prefix), te, body=prefix), CLOSED, taken),
        case("cl-te-close", _SMUGGLE, post(b"Content-Length: 5", te, b"Connection: close", body=_ZERO), CLOSED, taken),
        case("cl-te-nominated", _SMUGGLE,
             post(b"Content-Length: 5", te, b"Connection: transfer-encoding", body=_ZERO), CLOSED, taken),
        case("te-nominated", "RFC 9110 section 7.6.1: Connection must not delete the framing",
             post(te, b"Connection: transfer-encoding", body=_CHUNKED), posted(b"hello"), refused(400, closes=None)),
        case("cl-malformed-te", _SMUGGLE, post(b"Content-Length: x", te, body=_ZERO), CLOSED),
        case("two-cl-te", _SMUGGLE, post(b"Content-Length: 5", b"Content-Length: 6", te, body=_ZERO), CLOSED),
        case("te-in-http-1-0", "RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 is faulty framing",
             post(te, body=_CHUNKED, version=b"HTTP/1.0"), CLOSED, passed(b"hello", method=b"POST", closes=True)),
        case("te-cl-in-http-1-0", "RFC 9112 section 6.1",
             post(te, b"Content-Length: 5", body=b"hello", version=b"HTTP/1.0"), CLOSED),
        case("te-keep-alive-in-http-1-0", "RFC 9112 section 6.1",
             post(te, b"Connection: keep-alive", body=_CHUNKED, version=b"HTTP/1.0"),
             CLOSED, passed(b"hello", method=b"POST", closes=True)),
        case("get-chunked", "RFC 9110 section 9.3.1",
             b"GET /v1/case HTTP/1.1\r\n" + chunked(_CHUNKED).split(b"\r\n", 1)[1],
             passed(b"hello"), refused(400, 501, closes=True)),
    ]  # fmt: skip
    return found


GROUPS = (
    Group(name="te-valid", title="Transfer-Encoding: chunked, however it is spelled", cases=tuple(_valid())),
    Group(name="te-alone", title="Transfer-Encoding: anything else", cases=(*_alone(), *_lists())),
    Group(name="te-cl", title="Transfer-Encoding beside Content-Length", cases=(*_both(), *_beside_length())),
)  # fmt: skip
