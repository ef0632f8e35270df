"""Field lines: names, values, line ends, folds, and what stands before the first one."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Passed, Story
from tests.conformance.cases.words import (
    CLOSED,
    CRLF,
    HOST,
    TARGET,
    case,
    get,
    lines,
    passed,
    post,
    posted,
    refused,
)
from tests.conformance.driver import AUTH

_GRAMMAR = (
    "RFC 9112 section 2.2: what does not match the grammar is answered 400, and the connection ends"
)
_NAME = "RFC 9110 section 5.1: a field name is a token; " + _GRAMMAR
_VALUE = "RFC 9110 section 5.5: CR, LF and NUL are refused or replaced, other controls may be kept"
_COLON = "RFC 9112 section 5.1: whitespace between name and colon is refused with 400"
_FOLD = "RFC 9112 section 5.2: a fold is refused or replaced by spaces"
_BEFORE = "RFC 9112 section 2.2: whitespace between the request line and the first field is refused"
_LF = "RFC 9112 section 2.2: a bare LF may be taken for a line end"
_START = b"GET /v1/case HTTP/1.1\r\n"
_OK = HOST + CRLF + AUTH + CRLF

_BAD_NAMES: dict[str, bytes] = {
    "empty": b"", "space-only": b" ", "bracket": b"Bad[Name", "close-bracket": b"Bad]Name", "paren": b"Bad(Name)",
    "comma": b"Bad,Name", "semicolon": b"Bad;Name", "slash": b"Bad/Name", "backslash": b"Bad\\Name", "quote": b'"Bad"',
    "at": b"Bad@Name", "question": b"Bad?Name", "equals": b"Bad=Name", "brace": b"Bad{Name}", "less": b"<Bad>",
    "inner-space": b"Bad Name", "inner-tab": b"Bad\tName", "nul": b"Bad\x00Name", "nul-last": b"Bad\x00",
    "bell": b"Bad\x07",
    "delete": b"Bad\x7f", "escape": b"\x1bBad", "latin-1": b"B\xe4d", "utf-8": b"B\xc3\xa4d", "byte-80": b"\x80Bad",
    "byte-ff": b"Bad\xff", "bare-cr": b"Bad\rName", "vertical-tab": b"\x0bBad", "form-feed": b"Bad\x0c",
}  # fmt: skip

_SPACED: dict[str, bytes] = {
    "space": b"X-Test : value", "tab": b"X-Test\t: value", "spaces": b"X-Test   : value", "host": b"Host : evil.test",
    "content-length": b"Content-Length : 5", "authorization": b"Authorization : x",
    "connection": b"Connection : close",
    "cookie": b"Cookie : a=b", "expect": b"Expect : 100-continue",
}  # fmt: skip

_GOOD_NAMES = {
    "all-tchars": b"!#$%&'*+-.^`|~0Az",
    "digits": b"123",
    "one-letter": b"x",
    "dots": b"a.b.c",
    "tilde": b"~x~",
}

_GOOD_VALUES: dict[str, tuple[bytes, bytes]] = {
    "spaces-around": (b"  a  ", b"a"), "tabs-around": (b"\ta\t", b"a"), "inner-tab": (b"a\tb", b"a\tb"),
    "inner-spaces": (b"a   b", b"a   b"), "empty": (b"", b""), "space-only": (b"   ", b""), "quoted": (b'"a, b"',
    b'"a, b"'),
    "latin-1": (b"caf\xe9", b"caf\xe9"), "utf-8": (b"caf\xc3\xa9", b"caf\xc3\xa9"), "byte-80": (b"\x80", b"\x80"),
    "byte-ff": (b"a\xffb", b"a\xffb"), "colon": (b": a: b", b": a: b"), "colon-tight": (b":a", b":a"),
    "looks-like-a-field": (b"Host: evil.test", b"Host: evil.test"), "comma": (b",a,,b,", b",a,,b,"),
    "backslash": (b"a\\r\\nb", b"a\\r\\nb"), "percent-crlf": (b"a%0d%0aX: y", b"a%0d%0aX: y"), "long": (b"x" * 4000,
    b"x" * 4000),
}  # fmt: skip


def _names() -> list[Case]:
    found = [case(name, _NAME, get(raw + b": value"), CLOSED) for name, raw in _BAD_NAMES.items()]
    found += [
        case("no-colon", _GRAMMAR, get(b"NoColonHere"), CLOSED),
        case(
            "no-colon-last",
            _GRAMMAR,
            lines(b"GET /v1/case HTTP/1.1", HOST, AUTH, b"NoColon"),
            CLOSED,
        ),
        case("only-colon", _NAME, get(b":"), CLOSED),
        case("colons", _NAME, get(b"::"), CLOSED),
        case("request-line-as-field", _GRAMMAR, get(b"GET /v1/x HTTP/1.1"), CLOSED),
        case(
            "first-bad-name", _NAME, lines(b"GET /v1/case HTTP/1.1", b"Bad[: x", HOST, AUTH), CLOSED
        ),
    ]
    found += [case(f"colon-{name}", _COLON, get(field), CLOSED) for name, field in _SPACED.items()]
    return found + [
        case(f"good-{name}", "RFC 9110 section 5.6.2: tchar", get(raw + b": value"),
        passed(fields={raw.lower(): [b"value"]}))
        for name, raw in _GOOD_NAMES.items()
    ]  # fmt: skip


def _values() -> list[Case]:
    found = []
    for byte in (*range(0x20), 0x7F):
        if byte in b"\t\n":
            continue
        found.append(
            case(f"control-{byte:02x}", _VALUE, get(b"X-Test: a%cb" % byte), CLOSED, passed())
        )
    found += [
        case("control-first", _VALUE, get(b"X-Test: \x01"), CLOSED, passed()),
        case("control-in-host", _VALUE, lines(b"GET /v1/case HTTP/1.1", b"Host: case\x01.test", AUTH), CLOSED),
        case("nul-in-authorization", _VALUE, get(b"X-A: b", b"X-Auth: \x00"), CLOSED, passed()),
        case("cr-then-field", "a bare CR is no line end", get(b"X-Test: a\rX-Evil: b"), CLOSED,
        passed(fields={b"x-evil": []})),
        case("crcrlf", _VALUE, get(b"X-Test: a\r"), CLOSED, passed(fields={b"x-test": [b"a"]})),
        case("cr-at-begin", _VALUE, get(b"X-Test:\ra"), CLOSED, passed(fields={b"x-test": [b"a"]})),
        case("lf-cr", _VALUE, get(b"X-Test: a\n\rb"), CLOSED),
    ]  # fmt: skip
    return found + [
        case(f"good-{name}", "RFC 9110 section 5.5: what may stand in a value crosses unchanged",
             get(b"X-Test:" + (b"" if name == "colon-tight" else b" ") + raw), passed(fields={b"x-test": [value]}))
        for name, (raw, value) in _GOOD_VALUES.items()
    ]  # fmt: skip


def _line_ends() -> list[Case]:
    lf = get().replace(CRLF, b"\n")
    both: tuple[Story, ...] = (CLOSED, passed())
    return [
        case("lf-request-line", _LF, b"GET /v1/case HTTP/1.1\n" + _OK + CRLF, *both),
        case("lf-field", _LF, _START + HOST + b"\n" + AUTH + CRLF + CRLF, *both),
        case("lf-last-field", _LF, _START + HOST + CRLF + AUTH + b"\n\r\n", *both),
        case("lf-everywhere", _LF, lf, *both),
        case("lf-empty-line", _LF, _START + _OK + b"\n", *both),
        case("lf-then-crlf-end", _LF, _START + _OK + b"X: y\n\r\n", *both),
        case("lf-hides-a-request", _LF, _START + _OK + b"X: y\n\nGET /v1/smuggled HTTP/1.1\r\n" + _OK + CRLF, CLOSED,
             (*passed(), *passed(target=b"/v1/smuggled", host=None))),
        case("cr-request-line", _GRAMMAR, b"GET /v1/case HTTP/1.1\r" + _OK + CRLF, CLOSED),
        case("cr-field", _GRAMMAR, _START + HOST + b"\r" + AUTH + CRLF + CRLF, CLOSED, refused(401)),
        case("cr-everywhere", _GRAMMAR, get().replace(CRLF, b"\r") + CRLF + CRLF, CLOSED),
        case("crcrlf-end", _GRAMMAR, _START + _OK + b"\r\r\n", CLOSED, passed()),
        case("cr-empty-line", _GRAMMAR, _START + _OK + b"\rX: y\r\n\r\n", CLOSED),
        case("nul-line", _GRAMMAR, _START + _OK + b"\x00\r\n\r\n", CLOSED),
        case("nul-after-line", _GRAMMAR, _START + HOST + b"\x00" + CRLF + AUTH + CRLF + CRLF, CLOSED),
        case("unicode-line-separator", _VALUE, get(b"X-Test: a\xe2\x80\xa8X-Evil: b"), passed(fields={b"x-evil": []})),
        case("next-line-c1", _VALUE, get(b"X-Test: a\x85X-Evil: b"), passed(fields={b"x-evil": []}), CLOSED),
    ]  # fmt: skip


def _folds() -> list[Case]:
    # Peers that unfold may leave one space or several.
    unfolded: Story = (Passed(target=TARGET, host=b"case.test"),)
    smuggled = passed(fields={b"x-evil": []})
    return [
        case("space", _FOLD, get(b"X-Test: a\r\n b"), CLOSED, unfolded),
        case("tab", _FOLD, get(b"X-Test: a\r\n\tb"), CLOSED, unfolded),
        case("many-spaces", _FOLD, get(b"X-Test: a\r\n      b"), CLOSED, unfolded),
        case("empty-fold", _FOLD, get(b"X-Test: a\r\n "), CLOSED, unfolded),
        case("two-folds", _FOLD, get(b"X-Test: a\r\n b\r\n c"), CLOSED, unfolded),
        case("fold-of-empty", _FOLD, get(b"X-Test:\r\n b"), CLOSED, unfolded),
        case("fold-hides-field", _FOLD, get(b"X-Test: a\r\n X-Evil: b"), CLOSED, smuggled),
        case("host-folded", _FOLD, lines(b"GET /v1/case HTTP/1.1", b"Host:\r\n case.test", AUTH), CLOSED, unfolded),
        case("host-fold-appends", _FOLD, lines(b"GET /v1/case HTTP/1.1", b"Host: case.test\r\n evil.test", AUTH),
        CLOSED),
        case("first-line-space", _BEFORE, lines(b"GET /v1/case HTTP/1.1", b" X: y", HOST, AUTH), CLOSED,
        passed(fields={b"x": []})),
        case("first-line-tab", _BEFORE, lines(b"GET /v1/case HTTP/1.1", b"\tX: y", HOST, AUTH), CLOSED,
        passed(fields={b"x": []})),
        case("first-line-host", _BEFORE, lines(b"GET /v1/case HTTP/1.1", b" Host: case.test", AUTH), CLOSED),
        case("first-line-blank", _BEFORE, lines(b"GET /v1/case HTTP/1.1", b" ", HOST, AUTH), CLOSED, passed()),
        case("only-spaces-line", _FOLD, lines(b"GET /v1/case HTTP/1.1", HOST, b"   ", AUTH), CLOSED, passed()),
    ]  # fmt: skip


def _repeats() -> list[Case]:
    why = "RFC 9110 section 5.3: the order of values of one name is kept"
    single = "RFC 9110 section 5.3: a field that is no list must not be repeated; readers take the first or the last"
    hello = (b"Content-Length: 5",)
    return [
        case("order", why, get(b"X-A: 1", b"X-B: x", b"X-A: 2", b"X-A: 3"), passed(fields={b"x-a": [b"1", b"2",
        b"3"]})),
        case("cookies", why, get(b"Cookie: a=1", b"Cookie: b=2"),
             passed(fields={b"cookie": [b"a=1", b"b=2"]}), passed(fields={b"cookie": [b"a=1; b=2"]})),
        case("name-case-kept-apart", why, get(b"X-A: 1", b"x-a: 2"), passed(fields={b"x-a": [b"1", b"2"]})),
        case("two-content-types", single, post(*hello, b"Content-Type: a/b", b"Content-Type: c/d", body=b"hello"),
             refused(400), posted(b"hello")),
        case("many-names", "RFC 9110 section 5.4", get(*(b"X-%d: %d" % (n, n) for n in range(60))),
             passed(fields={b"x-59": [b"59"]})),
    ]  # fmt: skip


GROUPS = (
    Group(name="field-names", title="Field names", cases=tuple(_names())),
    Group(name="field-values", title="Field values", cases=tuple(_values())),
    Group(name="line-ends", title="Line ends of a head", cases=tuple(_line_ends())),
    Group(name="folds", title="Folded lines and leading whitespace", cases=tuple(_folds())),
    Group(name="repeats", title="Repeated fields", cases=tuple(_repeats())),
)
