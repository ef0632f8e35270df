"""`Content-Length`: plain, malformed, repeated, huge, and on methods that seldom have a body."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.words import (
    CLOSED,
    HOST,
    case,
    get,
    lines,
    passed,
    post,
    posted,
    refused,
)
from tests.conformance.driver import AUTH

_INVALID = "RFC 9112 section 6.3, rule 5: an invalid Content-Length is an unrecoverable error"
_HELLO = b"hello"

_MALFORMED: dict[str, bytes] = {
    "empty": b"", "spaces": b"   ", "plus": b"+5", "minus": b"-5", "minus-zero": b"-0", "minus-one": b"-1",
    "hex-prefix": b"0x5", "hex-digit": b"a", "hex-upper": b"0XA", "octal-prefix": b"0o5", "float": b"5.0",
    "dot": b"5.",
    "exponent": b"5e0", "inner-space": b"5 5", "inner-tab": b"5\t5", "comma": b",", "trailing-comma": b"5,",
    "leading-comma": b",5", "semicolon": b"5;x=1", "quoted": b'"5"', "single-quoted": b"'5'", "word": b"five",
    "true": b"true", "nan": b"NaN", "underscore": b"1_0", "thousands": b"1'000", "percent": b"%35", "suffix": b"5b",
    "suffix-letter": b"5bytes", "vertical-tab": b"\x0b5", "form-feed": b"\x0c5", "trailing-vertical-tab": b"5\x0b",
    "nul": b"5\x00", "non-breaking-space": b"\xa05", "latin-superscript": b"\xb2", "arabic-digit": b"\xd9\xa5",
    "fullwidth-digit": b"\xef\xbc\x95", "parenthesis": b"(5)", "equals": b"=5", "plus-after": b"5+",
    "two-numbers": b"5 6",
    "chunked": b"chunked", "signed-space": b"+ 5", "obs-fold": b"\r\n 5", "obs-fold-tab": b"5\r\n\t0",
    "bare-cr": b"5\r",
    "inner-cr": b"\r5",
}  # fmt: skip

_OVERFLOWING: dict[str, bytes] = {
    "over-63-bits": b"9223372036854775808",
    "over-64-bits": b"18446744073709551621",
    "over-65-bits": b"36893488147419103237",
    "twenty-nines": b"9" * 20,
    "thousand-digits": b"9" * 1000,
}

_REPEATED: dict[str, tuple[bytes, ...]] = {
    "same": (b"Content-Length: 5", b"Content-Length: 5"),
    "different": (b"Content-Length: 5", b"Content-Length: 10"),
    "different-smaller-second": (b"Content-Length: 5", b"Content-Length: 0"),
    "other-case": (b"Content-Length: 5", b"content-length: 6"),
    "upper-case": (b"CONTENT-LENGTH: 5", b"Content-Length: 6"),
    "second-empty": (b"Content-Length: 5", b"Content-Length:"),
    "first-empty": (b"Content-Length:", b"Content-Length: 5"),
    "second-malformed": (b"Content-Length: 5", b"Content-Length: x"),
    "second-signed": (b"Content-Length: 5", b"Content-Length: +5"),
    "three": (b"Content-Length: 5", b"Content-Length: 5", b"Content-Length: 6"),
    "apart": (b"Content-Length: 5", b"X: y", b"Content-Length: 6"),
    "leading-zero-twin": (b"Content-Length: 5", b"Content-Length: 05"),
    "list-different": (b"Content-Length: 5, 6",),
    "list-of-three-different": (b"Content-Length: 5, 5, 6",),
    "list-beside-number": (b"Content-Length: 5", b"Content-Length: 5, 5"),
}
_SAME_ALLOWED = {"same"}
_LISTS_SAME: dict[str, bytes] = {
    "list-same": b"5, 5",
    "list-same-tight": b"5,5",
    "list-triple": b"5, 5, 5",
}


def _malformed() -> list[Case]:
    return [
        case(
            name, _INVALID, post(b"Content-Length: " + value, body=_HELLO), CLOSED, *_repaired(name)
        )
        for name, value in _MALFORMED.items()
    ]


def _repaired(name: str) -> tuple[Story, ...]:
    """A bare CR and a fold may be read as a space (RFC 9112 sections 2.2 and 5.2), which is then trimmed."""
    return (posted(_HELLO),) if name in {"bare-cr", "inner-cr", "obs-fold"} else ()


def _overflowing() -> list[Case]:
    why = "RFC 9110 section 8.6: anticipate large numbers and prevent integer overflows"
    huge = refused(400, 413, closes=True)
    return [
        case(name, why, post(b"Content-Length: " + value, body=_HELLO), huge)
        for name, value in _OVERFLOWING.items()
    ]


def _repeated() -> list[Case]:
    found = [
        case(f"repeated-{name}", _INVALID, post(*fields, body=_HELLO), *_for_same(name))
        for name, fields in _REPEATED.items()
    ]
    why = "RFC 9112 section 6.3: a list of equal values may be replaced by one, or refused"
    return found + [
        case(name, why, post(b"Content-Length: " + value, body=_HELLO), CLOSED, posted(_HELLO))
        for name, value in _LISTS_SAME.items()
    ]


def _for_same(name: str) -> tuple[Story, ...]:
    return (CLOSED, posted(_HELLO)) if name in _SAME_ALLOWED else (CLOSED,)


def _zeros() -> list[Case]:
    why = "RFC 9110 section 8.6: digits; some readers take a leading zero for octal"
    body = b"A" * 200
    return [
        case("leading-zeros", why, post(b"Content-Length: 005", body=_HELLO), CLOSED, posted(_HELLO)),
        case("double-zero", why, post(b"Content-Length: 00"), CLOSED, posted()),
        case("octal-looking", why, post(b"Content-Length: 0200", body=body), CLOSED, posted(body)),
        case(
            "zeros-to-twenty-digits",
            why,
            post(b"Content-Length: 00000000000000000005", body=_HELLO),
            CLOSED,
            posted(_HELLO),
        ),
    ]  # fmt: skip


def _plain() -> list[Case]:
    body = b"x" * 70000
    inner = get(target=b"/v1/inner")
    return [
        case("plain", "RFC 9110 section 8.6", post(b"Content-Length: 5", body=_HELLO), posted(_HELLO)),
        case("zero", "RFC 9110 section 8.6", post(b"Content-Length: 0"), posted()),
        case("lower-case-name", "RFC 9110 section 5.1", post(b"content-length: 5", body=_HELLO), posted(_HELLO)),
        case("no-space", "RFC 9112 section 5", post(b"Content-Length:5", body=_HELLO), posted(_HELLO)),
        case("spaces-around", "RFC 9112 section 5: OWS", post(b"Content-Length:   5  ", body=_HELLO), posted(_HELLO)),
        case("tabs-around", "RFC 9112 section 5: OWS", post(b"Content-Length:\t5\t", body=_HELLO), posted(_HELLO)),
        case("large", "RFC 9110 section 8.6", post(b"Content-Length: 70000", body=body), posted(body), splits=False),
        case(
            "body-looks-like-a-request",
            "RFC 9112 section 6.3: the body is content, whatever it looks like",
            post(b"Content-Length: %d" % len(inner), body=inner),
            posted(inner),
        ),
        case("post-without", "RFC 9112 section 6.3, rule 7: no length, no body", post(), posted(), refused(411)),
        case("get", "RFC 9110 section 9.3.1: content of a GET has no meaning, but a length",
             get(b"Content-Length: 5") + _HELLO, passed(_HELLO), refused(400, closes=True)),
        case("head", "RFC 9110 section 9.3.2", lines(b"HEAD /v1/case HTTP/1.1", HOST, AUTH,
        b"Content-Length: 5") + _HELLO,
             passed(_HELLO, method=b"HEAD"), refused(400, closes=True)),
        case("delete", "RFC 9110 section 9.3.5", lines(b"DELETE /v1/case HTTP/1.1", HOST, AUTH,
        b"Content-Length: 5") + _HELLO,
             passed(_HELLO, method=b"DELETE"), refused(400, closes=True)),
        case("options", "RFC 9110 section 9.3.7",
             lines(b"OPTIONS /v1/case HTTP/1.1", HOST, AUTH, b"Content-Length: 5") + _HELLO,
             passed(_HELLO, method=b"OPTIONS"), refused(400, closes=True)),
        case("get-zero", "RFC 9110 section 8.6", get(b"Content-Length: 0"), passed()),
        case("old", "RFC 9112 section 6.3: HTTP/1.0 has lengths too",
             post(b"Content-Length: 5", b"Connection: keep-alive", body=_HELLO, version=b"HTTP/1.0"),
             posted(_HELLO), passed(_HELLO, method=b"POST", closes=True)),
        case("nominated", "RFC 9110 section 7.6.1: Connection must not delete the framing",
             post(b"Content-Length: 5", b"Connection: content-length", body=_HELLO),
             posted(_HELLO), refused(400, closes=None)),
    ]  # fmt: skip


GROUPS = (
    Group(name="content-length", title="Content-Length: valid", cases=(*_plain(), *_zeros())),
    Group(
        name="content-length-malformed",
        title="Content-Length: malformed, overflowing, repeated",
        cases=(*_malformed(), *_overflowing(), *_repeated()),
    ),
)
