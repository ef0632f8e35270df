"""Request targets and hosts: every form, every trick that makes two readers see two resources."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Story
from tests.conformance.cases.words import CLOSED, HOST, REFUSED, case, get, lines, passed, refused
from tests.conformance.driver import AUTH

_FORM = "RFC 9112 section 3.2: origin-form, absolute-form, or * for OPTIONS"
_URI = "RFC 3986 appendix A: no such byte may stand in a URI; it is not repaired (RFC 9112 section 3.2)"
_ABSOLUTE = "RFC 9112 section 3.2.2: an absolute target replaces Host"
_HOST = "RFC 9112 section 3.2: a Host that is missing, repeated or malformed is answered 400"
_NO: Story = refused(400, 404, 421)

_KEPT: dict[str, bytes] = {
    "query": b"/v1/case?a=b&c=d", "empty-query": b"/v1/case?", "two-questions": b"/v1/case?a=b?c=d",
    "slash-in-query": b"/v1/case?/../x",
    "percent-in-query": b"/v1/case?a=%20%2F%00", "plus-in-query": b"/v1/case?a+b", "encoded-space": b"/v1/a%20b",
    "encoded-utf-8": b"/v1/caf%C3%A9", "sub-delims": b"/v1/a!$&'()*+,=b", "colon-at": b"/v1/a:b@c", "tilde": b"/v1/~a",
    "brackets-in-query": b"/v1/case?a[]=1", "pipe-in-query": b"/v1/case?a|b", "quote-in-query": b'/v1/case?a="b"',
    "url-in-query": b"/v1/case?u=http://x.test/y", "trailing-slash": b"/v1/case/",
    "bad-escape-in-query": b"/v1/case?a=%zz",
}  # fmt: skip

_BAD_FORMS: dict[str, bytes] = {
    "relative": b"v1/case", "dot": b"./v1/case", "authority": b"case.test:80", "host-only": b"case.test",
    "question": b"?a=b",
    "star-and-more": b"*a", "no-scheme": b"://case.test/v1/case", "opaque": b"mailto:a@b",
    "javascript": b"javascript:x", "hash": b"#x",
    "ftp": b"ftp://case.test/v1/case", "file": b"file:///v1/case", "ws": b"ws://case.test/v1/case",
    "scheme-one-slash": b"http:/v1/case",
    "scheme-no-slash": b"http:v1/case", "http-no-authority": b"http:///v1/case", "http-empty": b"http://",
    "absolute-query-only": b"http://?x", "http-three-slashes": b"http:////case.test/v1/case",
}  # fmt: skip

_BAD_BYTES: dict[str, bytes] = {
    "fragment": b"/v1/case#frag", "fragment-in-query": b"/v1/case?a#b", "nul": b"/v1/\x00case",
    "nul-last": b"/v1/case\x00",
    "control-01": b"/v1/\x01", "tab": b"/v1/a\tb", "vertical-tab": b"/v1/a\x0bb", "escape": b"/v1/\x1b",
    "delete": b"/v1/\x7f",
    "bare-cr": b"/v1/a\rb", "latin-1": b"/v1/caf\xe9", "utf-8": b"/v1/caf\xc3\xa9", "overlong-slash": b"/v1/\xc0\xaf",
    "byte-ff": b"/v1/\xff",
    "utf-8-in-query": b"/v1/case?caf\xc3\xa9", "c1": b"/v1/\x85", "nul-in-query": b"/v1/case?\x00",
    "control-in-query": b"/v1/case?a\x1fb",
}  # fmt: skip

_BAD_HOSTS: dict[str, bytes] = {
    "path": b"case.test/path", "userinfo": b"user@case.test", "userinfo-password": b"user:pw@case.test",
    "comma": b"case.test, evil.test",
    "comma-tight": b"case.test,evil.test", "space": b"case.test evil.test", "tab": b"case.test\tevil.test",
    "query": b"case.test?x",
    "fragment": b"case.test#x", "scheme": b"http://case.test", "port-letters": b"case.test:http",
    "port-sign": b"case.test:+80",
    "port-minus": b"case.test:-1", "port-too-large": b"case.test:65536",
    "port-huge": b"case.test:99999999999999999999",
    "port-space": b"case.test: 80", "two-ports": b"case.test:80:80", "port-path": b"case.test:80/x",
    "port-at": b"case.test:80@evil.test",
    "only-port": b":80", "only-colon": b":", "backslash": b"case.test\\evil.test", "quote": b'"case.test"',
    "less": b"<case.test>",
    "bracket-open": b"[::1", "bracket-close": b"::1]", "bracket-empty": b"[]", "bracket-name": b"[case.test]",
    "bracket-after": b"[::1]x",
    "bracket-before": b"x[::1]", "ipv6-bare": b"::1", "ipv6-zone": b"[fe80::1%25eth0]",
    "ipv6-zone-raw": b"[fe80::1%eth0]",
    "ipv6-long": b"[1:2:3:4:5:6:7:8:9]", "ipv6-port-letters": b"[::1]:x", "nul": b"case\x00.test",
    "control": b"case\x01.test",
    "latin-1": b"caf\xe9.test", "utf-8": b"caf\xc3\xa9.test", "semicolon": b"case.test;x", "pipe": b"case|test",
    "caret": b"case^test",
    "backtick": b"case`test", "brace": b"{case}", "percent-encoded-slash": b"case%2ftest",
    "empty-label": b"case..test",
    "leading-dot": b".case.test", "only-dot": b".", "parameter": b"case.test&x", "crlf-encoded": b"case%0d%0a.test",
    "long": b"a" * 5000,
}  # fmt: skip

_LENIENT_HOSTS = frozenset(
    {
        "bracket-name", "empty-label", "leading-dot", "only-dot", "ipv6-zone", "percent-encoded-slash", "semicolon",
        "parameter",
        "crlf-encoded", "port-too-large", "port-huge", "long",
    }
)  # fmt: skip
"""Within the letter of the URI grammar (reg-name, port = *DIGIT): passing them on unchanged is no fault."""

_GOOD_HOSTS: dict[str, bytes] = {
    "port": b"case.test:8080", "upper-case": b"CASE.Test", "ipv4": b"192.0.2.1", "ipv4-port": b"192.0.2.1:80",
    "ipv6": b"[2001:db8::1]",
    "ipv6-port": b"[2001:db8::1]:8080", "ipv6-v4": b"[::ffff:192.0.2.1]", "one-label": b"localhost",
    "hyphens": b"a-b.c-d", "digits": b"1.2",
    "punycode": b"xn--caf-dma.test", "underscore": b"a_b.test", "empty-port": b"case.test:",
    "port-zeros": b"case.test:00080",
}  # fmt: skip


def _targets() -> list[Case]:
    found = [
        case(f"kept-{name}", "RFC 9112 section 3.2: a target is forwarded as it came", get(target=raw),
        passed(target=raw))
        for name, raw in _KEPT.items()
    ]  # fmt: skip
    found += [
        case(f"form-{name}", _FORM, get(target=raw), REFUSED, _NO)
        for name, raw in _BAD_FORMS.items()
    ]
    return found + [case(name, _URI, get(target=raw), CLOSED) for name, raw in _BAD_BYTES.items()]


def _absolute() -> list[Case]:
    def asking(
        target: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1"
    ) -> bytes:
        return lines(b"%b %b %b" % (method, target, version), *fields, AUTH)

    def reaching(target: bytes, host: bytes = b"other.test", **more: bytes) -> Story:
        return passed(target=target, host=host, **more)  # type: ignore[arg-type]

    userinfo = "RFC 9110 section 4.2.4: userinfo in an http URI is an error"
    return [
        case("same-host", _ABSOLUTE, asking(b"http://case.test/v1/case", HOST), passed(),
        reaching(b"http://case.test/v1/case", b"case.test")),
        case("differing-host", _ABSOLUTE, asking(b"http://other.test/v1/case", HOST), reaching(b"/v1/case"),
             reaching(b"http://other.test/v1/case"), REFUSED),
        case("upper-case-scheme", _ABSOLUTE, asking(b"HTTP://other.test/v1/case", HOST), reaching(b"/v1/case"),
             reaching(b"HTTP://other.test/v1/case"), REFUSED),
        case("https", _ABSOLUTE, asking(b"https://other.test/v1/case", HOST), reaching(b"/v1/case"),
             reaching(b"https://other.test/v1/case"), refused(400, 421)),
        case("port", _ABSOLUTE, asking(b"http://other.test:8080/v1/case", HOST), reaching(b"/v1/case",
        b"other.test:8080"),
             reaching(b"http://other.test:8080/v1/case", b"other.test:8080"), REFUSED),
        case("query", _ABSOLUTE, asking(b"http://other.test/v1/case?a=b", HOST), reaching(b"/v1/case?a=b"),
             reaching(b"http://other.test/v1/case?a=b"), REFUSED),
        case("no-path", _ABSOLUTE, asking(b"http://other.test", HOST), reaching(b"/"), reaching(b"http://other.test"),
        REFUSED),
        case("no-path-query", _ABSOLUTE, asking(b"http://other.test?a=b", HOST), reaching(b"/?a=b"),
             reaching(b"http://other.test?a=b"), REFUSED),
        case("missing-host", _HOST, asking(b"http://other.test/v1/case"), REFUSED),
        case("malformed-host-field", _HOST, asking(b"http://other.test/v1/case", b"Host: a b"), REFUSED),
        case("two-host-fields", _HOST, asking(b"http://other.test/v1/case", HOST, HOST), REFUSED),
        case("old", _ABSOLUTE, asking(b"http://other.test/v1/case", version=b"HTTP/1.0"),
             passed(target=b"/v1/case", host=b"other.test", closes=True),
             passed(target=b"http://other.test/v1/case", host=None, closes=True), CLOSED),
        case("userinfo", userinfo, asking(b"http://user@other.test/v1/case", HOST), REFUSED),
        case("userinfo-password", userinfo, asking(b"http://a:b@other.test/v1/case", HOST), REFUSED),
        case("userinfo-trick", userinfo, asking(b"http://case.test@other.test/v1/case", HOST), REFUSED),
        case("bad-port", _FORM, asking(b"http://other.test:x/v1/case", HOST), REFUSED),
        case("bad-ipv6", _FORM, asking(b"http://[::1/v1/case", HOST), REFUSED),
        case("backslash-authority", _URI, asking(b"http://other.test\\@case.test/v1/case", HOST), REFUSED),
        case("options-no-path", "RFC 9112 section 3.2.4: an absolute OPTIONS without path is OPTIONS *",
             asking(b"http://other.test", HOST, method=b"OPTIONS"), refused(200, 204, 400, 404, 405),
             passed(target=b"*", method=b"OPTIONS", host=b"other.test"), passed(target=b"/", method=b"OPTIONS",
             host=b"other.test"),
             passed(target=b"http://other.test", method=b"OPTIONS", host=b"other.test")),
    ]  # fmt: skip


def _hosts() -> list[Case]:
    def asking(*hosts: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        return lines(b"GET /v1/case " + version, *(b"Host: " + host for host in hosts), AUTH)

    found = []
    for name, raw in _BAD_HOSTS.items():
        lenient = (passed(host=raw),) if name in _LENIENT_HOSTS else ()
        large = (refused(431),) if name == "long" else ()
        found.append(
            case(
                f"bad-{name}", _HOST, asking(raw), REFUSED, *lenient, *large, splits=len(raw) < 1000
            )
        )
    found += [
        case(f"good-{name}", "RFC 9110 section 7.2", asking(raw), passed(host=raw)) for name,
        raw in _GOOD_HOSTS.items()
    ]  # fmt: skip
    found.append(
        case(
            "good-trailing-dot",
            "some backends know case.test. as another host than case.test: it is told the one that was judged",
            asking(b"case.test."),
            passed(host=b"case.test"),
            passed(host=b"case.test."),
        )
    )
    empty = (
        "RFC 9110 section 7.2: an empty Host is for URIs without an authority, which http has not"
    )
    return [
        *found,
        case("missing", _HOST, lines(b"GET /v1/case HTTP/1.1", AUTH), REFUSED),
        case("missing-and-forwarded", _HOST, lines(b"GET /v1/case HTTP/1.1", b"X-Forwarded-Host: case.test", AUTH),
        REFUSED),
        case("empty", empty, asking(b""), REFUSED, passed(host=None)),
        case("spaces", empty, asking(b"   "), REFUSED, passed(host=None)),
        case("two", _HOST, asking(b"case.test", b"evil.test"), REFUSED),
        case("two-same", _HOST, asking(b"case.test", b"case.test"), REFUSED),
        case("two-apart", _HOST, lines(b"GET /v1/case HTTP/1.1", HOST, AUTH, b"X: y", b"host: evil.test"), REFUSED),
        case("two-second-empty", _HOST, asking(b"case.test", b""), REFUSED),
        case("two-first-empty", _HOST, asking(b"", b"case.test"), REFUSED),
        case("two-in-http-1-0", _HOST, asking(b"case.test", b"evil.test", version=b"HTTP/1.0"), REFUSED),
        case("none-in-http-1-0", "RFC 9112 section 3.2: only HTTP/1.1 must have one",
             lines(b"GET /v1/case HTTP/1.0", AUTH), passed(host=None, closes=True)),
        case("malformed-in-http-1-0", _HOST, asking(b"a b", version=b"HTTP/1.0"), REFUSED),
        case("space-before-colon", "RFC 9112 section 5.1", lines(b"GET /v1/case HTTP/1.1", b"Host : case.test", AUTH),
        CLOSED),
        case("lower-case-name", "RFC 9110 section 5.1", lines(b"GET /v1/case HTTP/1.1", b"host: case.test", AUTH),
        passed()),
        case("nominated", "RFC 9110 section 7.6.1: Connection must not delete Host", get(b"Connection: host"),
        passed(), REFUSED),
        case("last", "RFC 9110 section 5.3: order of fields does not matter", lines(b"GET /v1/case HTTP/1.1", AUTH,
        b"X: y", HOST), passed()),
    ]  # fmt: skip


GROUPS = (
    Group(name="target", title="Request target", cases=tuple(_targets())),
    Group(name="absolute", title="Absolute-form and its authority", cases=tuple(_absolute())),
    Group(name="host", title="Host", cases=tuple(_hosts())),
)
