"""What Tollhouse decides beyond HTTP: keys, identity, ambiguous paths. No other proxy is asked to agree."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Passed, Story
from tests.conformance.cases.words import HOST, TARGET, case, get, lines, passed, post, refused
from tests.conformance.driver import AUTH

_AMBIGUOUS = "scopes are decided on the path, so a path that servers read differently is refused"
_TWIN = "CGI-like backends file x_gateway_tenant and X-Gateway-Tenant as one variable"
_OURS = "a client can neither forge our fields nor have them removed"
_KEY = "nothing is forwarded without passing authentication"
_OVERRIDE = "backends that act on another method or path than the one that was checked"

_PATHS: dict[str, bytes] = {
    "dot-dot": b"/v1/../admin", "dot-dot-end": b"/v1/..", "dot": b"/v1/./case", "encoded-dots": b"/v1/%2e%2e/admin",
    "encoded-dots-upper": b"/v1/%2E%2E/admin", "half-encoded-dots": b"/v1/.%2e/admin", "double-slash": b"/v1//case",
    "leading-double-slash": b"//v1/case", "leading-authority": b"//evil.test/v1/case", "backslash": b"/v1\\case",
    "backslash-dots": b"/v1/..\\admin", "encoded-backslash": b"/v1%5ccase", "encoded-slash": b"/v1%2fcase",
    "encoded-slash-upper": b"/v1/a%2F..%2Fadmin", "semicolon": b"/v1/case;x=1", "semicolon-dots": b"/v1/..;/admin",
    "encoded-semicolon": b"/v1/case%3bx", "nul": b"/v1/case%00", "nul-suffix": b"/v1/case%00.html",
    "crlf": b"/v1/%0d%0aX:y",
    "encoded-tab": b"/v1/%09", "encoded-delete": b"/v1/%7f", "c1": b"/v1/%C2%85", "double-encoded-slash": b"/v1/%252f",
    "double-encoded-dots": b"/v1/%252e%252e/admin", "triple-encoded": b"/v1/%25252e", "bad-escape": b"/v1/%zz",
    "cut-escape": b"/v1/%2",
    "lone-percent": b"/v1/%", "overlong-dot": b"/v1/%c0%ae%c0%ae/", "overlong-slash": b"/v1/%c0%af",
    "invalid-utf-8": b"/v1/%ff",
    "fullwidth-dots": b"/v1/%EF%BC%8E%EF%BC%8E/admin", "fullwidth-slash": b"/v1%EF%BC%8Fcase",
    "division-slash": b"/v1%E2%88%95case",
    "iis-unicode": b"/v1/%u002e%u002e/", "dots-and-space": b"/v1/..%20/", "three-dots": b"/v1/.../",
    "trailing-dot": b"/v1/case.",
    "trailing-space": b"/v1/case%20",
}  # fmt: skip

_FINE: dict[str, bytes] = {
    "dot-file": b"/v1/.well-known", "dots-inside": b"/v1/a..b", "tilde": b"/v1/~x",
    "encoded-space-inside": b"/v1/a%20b",
    "utf-8": b"/v1/%C3%A9", "query-with-everything": b"/v1/case?a=../..//%2f%00\\;",
}  # fmt: skip

_TWINS = (
    b"X_Gateway_Key_Id: forged", b"X-Gateway_Key-Id: forged", b"X.Gateway.Key.Id: forged", b"x_gateway_tenant: forged",
    b"X-Gateway-Tenant: forged", b"X-Gateway-Anything: forged", b"X_Forwarded_For: 192.0.2.66",
    b"X-Forwarded_For: 192.0.2.66",
    b"X_Real_IP: 192.0.2.66", b"X-Real-IP: 192.0.2.66", b"Forwarded: for=192.0.2.66", b"X-Forwarded-For: 192.0.2.66",
    b"X_Request_Id: forged", b"Proxy-Authorization: Basic eDp5", b"Proxy: http://evil.test", b"Content_Length: 5",
    b"Transfer_Encoding: chunked", b"Authorization_: x", b"X-Forwarded-Anything: x",
)  # fmt: skip

_OVERRIDES = (
    b"X-HTTP-Method-Override: DELETE", b"X-HTTP-Method: DELETE", b"X-Method-Override: DELETE",
    b"X-Original-URL: /admin",
    b"X-Rewrite-URL: /admin", b"X_HTTP_Method_Override: DELETE",
    b"SCRIPT_NAME: /v1", b"Script-Name: /v1", b"PATH_INFO: /admin", b"X-Script-Name: /v1",
)  # fmt: skip


def _paths() -> list[Case]:
    found = [
        case(name, _AMBIGUOUS, get(target=raw), refused(400, 404, closes=None))
        for name, raw in _PATHS.items()
    ]
    return found + [
        case(f"fine-{name}", _AMBIGUOUS, get(target=raw), passed(target=raw))
        for name, raw in _FINE.items()
    ]


def _identity() -> list[Case]:
    found = []
    for line in _TWINS:
        raw = line.split(b":")[0]
        name, ours = (
            raw.lower(),
            {b"x-gateway-key-id": [b"key_a"], b"x-forwarded-for": [b"127.0.0.1"]},
        )
        gone: dict[bytes, list[bytes]] = (
            {} if name in ours or name == b"authorization_" else {name: []}
        )
        found.append(case(f"forged-{raw.decode()}", _TWIN, get(line), passed(fields=ours | gone)))
    for line in _OVERRIDES:
        raw = line.split(b":")[0]
        found.append(
            case(f"override-{raw.decode()}", _OVERRIDE, get(line), passed(fields={raw.lower(): []}))
        )
    kept = passed(fields={b"x-gateway-key-id": [b"key_a"], b"authorization": []})
    closed = passed(fields={b"x-gateway-key-id": [b"key_a"]}, closes=True)
    return [
        *found,
        case("nominated-identity", _OURS, get(b"Connection: x-gateway-key-id"), kept),
        case("nominated-authorization", _OURS, get(b"Connection: authorization, x-gateway-key-id"), kept),
        case("nominated-and-forged", _OURS, get(b"Connection: X-Gateway-Key-Id, close", b"X-Gateway-Key-Id: forged"),
        closed),
        case("key-does-not-cross", _OURS, get(), kept),
        case("nominated-request-id", _OURS, get(b"Connection: x-request-id"), kept),
        case("http2-settings", "HTTP2-Settings belongs to an upgrade that never happens", get(b"HTTP2-Settings: AAMA"),
             passed(fields={b"http2-settings": []})),
    ]  # fmt: skip


def _keys() -> list[Case]:
    def asking(*fields: bytes) -> bytes:
        return lines(b"GET /v1/case HTTP/1.1", HOST, *fields)

    no: Story = refused(401)
    token = AUTH.split(b" ", 2)[2]
    fine: Story = (Passed(target=TARGET),)
    return [
        case("none", _KEY, asking(), no),
        case("empty", _KEY, asking(b"Authorization:"), no),
        case("basic", _KEY, asking(b"Authorization: Basic eDp5"), no),
        case("scheme-only", _KEY, asking(b"Authorization: Bearer"), no),
        case("no-scheme", _KEY, asking(b"Authorization: " + token), no),
        case("two", _KEY, asking(AUTH, AUTH), refused(400, 401)),
        case("good-and-empty", _KEY, asking(AUTH, b"Authorization:"), refused(400, 401)),
        case("two-in-one", _KEY, asking(AUTH + b", Bearer x"), refused(400, 401)),
        case("cut", _KEY, asking(AUTH[:-1]), no),
        case("longer", _KEY, asking(AUTH + b"A"), no),
        case("quoted", _KEY, asking(b'Authorization: Bearer "' + token + b'"'), no),
        case("comma", _KEY, asking(AUTH + b","), no),
        case("non-ascii", _KEY, asking(b"Authorization: Bearer \xff"), no),
        case("tab", _KEY, asking(b"Authorization: Bearer\t" + token), no),
        case("underscore-name", _KEY, asking(AUTH.replace(b"Authorization", b"Authorization_")), no),
        case("other-name", _KEY, asking(AUTH.replace(b"Authorization", b"Proxy-Authorization")), no),
        case("in-query", _KEY, lines(b"GET /v1/case?access_token=" + token + b" HTTP/1.1", HOST), no),
        case("lower-case-scheme", "RFC 9110 section 11.1: schemes are case-insensitive",
             asking(AUTH.replace(b"Bearer", b"bearer")), fine),
        case("upper-case-scheme", "RFC 9110 section 11.1", asking(AUTH.replace(b"Bearer", b"BEARER")), fine),
        case("post-refused-with-body", _KEY, lines(b"POST /v1/case HTTP/1.1", HOST, b"Content-Length: 5") + b"hello",
             refused(401, closes=False)),
        case("post-refused-waiting", "RFC 9110 section 10.1.1: a refusal comes instead of 100",
             lines(b"POST /v1/case HTTP/1.1", HOST, b"Content-Length: 5", b"Expect: 100-continue"), refused(401,
             closes=True)),
        case("no-route", _KEY, get(target=b"/nothing"), refused(404)),
        case("admitted-then-not", _KEY, get() + asking(), (*passed(), *no)),
        case("post-admitted", _KEY, post(b"Content-Length: 5", body=b"hello"), passed(b"hello", method=b"POST")),
    ]  # fmt: skip


GROUPS = (
    Group(name="paths", title="Ambiguous paths", cases=tuple(_paths()), is_policy=True),
    Group(
        name="identity", title="Identity and overrides", cases=tuple(_identity()), is_policy=True
    ),
    Group(name="keys", title="Keys", cases=tuple(_keys()), is_policy=True),
)
