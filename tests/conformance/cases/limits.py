"""How much a client may send: targets, heads, fields."""

from __future__ import annotations

from tests.conformance.case import Case, Group
from tests.conformance.cases.words import DROPPED, HOST, case, get, lines, passed, refused

_URI = "RFC 9110 section 4.1: 8000 octets of URI should pass; RFC 9110 section 15.5.15: 414"
_HEAD = "RFC 6585 section 5: 431"
_BOUNDED = "RFC 9110 section 17.5: what is read before it is judged is bounded"


def _limits() -> list[Case]:
    too_large, too_long = refused(400, 431, closes=True), refused(400, 414, 431, closes=True)
    # Whoever closes without reading on resets the answer away (RFC 9112 section 9.6): a pity, and no hole.
    lost = DROPPED
    return [
        case("target-4k", _URI, get(target=b"/v1/" + b"a" * 4096), passed(target=b"/v1/" + b"a" * 4096), splits=False),
        case("target-7900", _URI, get(target=b"/v1/" + b"a" * 7900), passed(target=b"/v1/" + b"a" * 7900),
        splits=False),
        case("query-7900", _URI, get(target=b"/v1/case?" + b"a" * 7900), passed(target=b"/v1/case?" + b"a" * 7900),
        splits=False),
        case("target-16k", _URI, get(target=b"/v1/" + b"a" * 16384), too_long, lost, splits=False),
        case("target-100k", _URI, get(target=b"/v1/" + b"a" * 100_000), too_long, lost, splits=False),
        case("target-1m", _URI, get(target=b"/v1/" + b"a" * 1_000_000), too_long, lost, splits=False),
        case("query-100k", _URI, get(target=b"/v1/case?" + b"a" * 100_000), too_long, lost, splits=False),
        case("line-without-end", _URI, b"GET /v1/" + b"a" * 200_000, too_long, lost, probe=False, splits=False),
        case("value-4k", _HEAD, get(b"X: " + b"a" * 4096), passed(fields={b"x": [b"a" * 4096]}), splits=False),
        case("value-100k", _HEAD, get(b"X: " + b"a" * 100_000), too_large, lost, splits=False),
        case("value-1m", _HEAD, get(b"X: " + b"a" * 1_000_000), too_large, lost, splits=False),
        case("value-without-end", _HEAD, get(b"X: " + b"a" * 1_000_000)[:-4], too_large, lost, probe=False,
        splits=False),
        case("name-100k", _HEAD, get(b"a" * 100_000 + b": x"), too_large, lost, splits=False),
        case("name-without-colon", _HEAD, get()[:-2] + b"a" * 100_000, too_large, lost, probe=False, splits=False),
        case("cookie-100k", _HEAD, get(b"Cookie: " + b"a" * 100_000), too_large, lost, splits=False),
        case("authorization-100k", _HEAD, lines(b"GET /v1/case HTTP/1.1", HOST,
        b"Authorization: Bearer " + b"a" * 100_000), too_large, lost, splits=False),
        case("fields-90", _HEAD, get(*(b"X-%d: y" % n for n in range(90))), passed()),
        case("fields-10000", _HEAD, get(*(b"X-%d: y" % n for n in range(10_000))), too_large, lost, splits=False),
        case("fields-same-name-10000", _HEAD, get(*(b"X: y",) * 10_000), too_large, lost, splits=False),
        case("empty-values-20000", _HEAD, get(*(b"X:",) * 20_000), too_large, lost, splits=False),
        case("spaces-100k", _BOUNDED, get(b"X:" + b" " * 100_000 + b"a"), too_large, lost, splits=False),
        case("crlf-100k", _BOUNDED, b"\r\n" * 50_000, refused(400, closes=True), probe=False, splits=False),
    ]  # fmt: skip


GROUPS = (Group(name="limits", title="Oversize heads", cases=tuple(_limits())),)
