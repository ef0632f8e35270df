"""`Upgrade` and `Expect`: what a client asks of the connection itself, and how it is smuggled through."""

from __future__ import annotations

from tests.conformance.case import ECHO, Case, Failed, Group, Passed, Pause, Reply, Story
from tests.conformance.cases.words import (
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

_H2C = "h2c smuggling (Bishop Fox, 2020): through an h2c tunnel a client speaks past every rule of the proxy"
_UPGRADE = "RFC 9110 section 7.8: Upgrade is hop-by-hop; a server may ignore it"
_EXPECT = "RFC 9110 section 10.1.1: 100 comes before the body is read, and never to HTTP/1.0"
_UNKNOWN = "RFC 9110 section 10.1.1: an unknown expectation may be answered 417"
_NONE: dict[bytes, list[bytes]] = {b"upgrade": []}
_SETTINGS = b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfrom-server"
)
_SOCKET = (
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


def _h2c() -> list[Case]:
    ignored: Story = passed(fields=_NONE)
    plain: dict[str, tuple[bytes, ...]] = {
        "h2c": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", _SETTINGS),
        "h2c-upper-case": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: H2C", _SETTINGS),
        "h2c-only-upgrade": (b"Connection: Upgrade", b"Upgrade: h2c"),
        "h2c-no-connection": (b"Upgrade: h2c", _SETTINGS),
        "h2c-connection-settings-only": (b"Connection: HTTP2-Settings", b"Upgrade: h2c", _SETTINGS),
        "h2c-in-list": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: foo, h2c", _SETTINGS),
        "h2c-first-in-list": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c, websocket", _SETTINGS),
        "h2c-second-field": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: foo", b"Upgrade: h2c", _SETTINGS),
        "h2c-version": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c/2", _SETTINGS),
        "h2c-14": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c-14", _SETTINGS),
        "h2": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2", _SETTINGS),
        "http-2": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: HTTP/2.0", _SETTINGS),
        "http-1": (b"Connection: Upgrade", b"Upgrade: HTTP/1.1"),
        "tls": (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
        "keep-alive-first": (b"Connection: keep-alive, Upgrade", b"Upgrade: h2c", _SETTINGS),
        "two-settings": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", _SETTINGS, _SETTINGS),
    }  # fmt: skip
    found = [
        case(name, _H2C, get(*fields), ignored, refused(400, 403, 426))
        for name, fields in plain.items()
    ]
    return [
        *found,
        case("h2c-post", _H2C, post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", body=b"hello"),
             passed(b"hello", method=b"POST", fields=_NONE), refused(400)),
        case("h2c-obs-fold", _H2C, get(b"Connection: Upgrade", b"Upgrade:\r\n h2c"), refused(400, closes=True),
        ignored),
        case("h2c-space-colon", _H2C, get(b"Connection: Upgrade", b"Upgrade : h2c"), refused(400, closes=True)),
        case("h2c-underscore", _H2C, get(b"Connection: Upgrade, HTTP2_Settings", b"Upgrade: h2c",
        b"HTTP2_Settings: AAMA"),
             passed(fields={b"upgrade": []}), refused(400)),
        case("prior-knowledge", _H2C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9,
             refused(400, 405, 505, closes=True), probe=False),
        case("prior-knowledge-pipelined", _H2C, get() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
             (*passed(), *refused(400, 405, 505, closes=True)), probe=False),
    ]  # fmt: skip


def _upgrades() -> list[Case]:
    switched: Story = (
        Passed(target=TARGET, status=101, fields={b"upgrade": [b"websocket"]}, closes=None),
    )
    return [
        case("websocket", "RFC 6455 section 4.1: the handshake crosses, and so does the answer", get(*_SOCKET),
        switched,
             backend=(Reply(parts=(_SWITCH,), then="close"),), probe=False),
        case("websocket-refused", "RFC 9110 section 7.8: the backend may answer as if nothing was asked",
        get(*_SOCKET), passed()),
        case("websocket-http-1-0", "RFC 9110 section 7.8: Upgrade in HTTP/1.0 is ignored",
             get(*_SOCKET, version=b"HTTP/1.0"), passed(fields={b"upgrade": []}, closes=True), refused(400, 426,
             closes=True)),
        case("no-connection-option", "RFC 9110 section 7.8: Upgrade without its connection option is not meant for us",
             get(b"Upgrade: websocket"), passed(fields={b"upgrade": []}), refused(400)),
        case("unknown-ignored", _UPGRADE, get(b"Connection: Upgrade", b"Upgrade: foo"),
             passed(fields={b"upgrade": [b"foo"]}), passed(fields={b"upgrade": []})),
        case("malformed", _UPGRADE, get(b"Connection: Upgrade", b"Upgrade: web socket"), refused(400), passed()),
        case("empty", _UPGRADE, get(b"Connection: Upgrade", b"Upgrade:"), passed(fields={b"upgrade": []})),
        case("with-body", _UPGRADE, post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5",
        body=b"hello"),
             posted(b"hello"), refused(400)),
        case("101-unasked", "RFC 9110 section 15.2.2: 101 only to who asked", get(), (Failed(),),
             backend=(Reply(parts=(_SWITCH,), then="close"), ECHO)),
    ]  # fmt: skip


def _expectations() -> list[Case]:
    head = post(b"Content-Length: 5", b"Expect: 100-continue")
    continued: Story = (Passed(method=b"POST", target=TARGET, body=b"hello", interim=(100,)),)
    either = (continued, posted(b"hello"))
    old = post(b"Content-Length: 5", b"Expect: 100-continue", version=b"HTTP/1.0")
    silent_old: Story = (
        Passed(method=b"POST", target=TARGET, body=b"hello", interim=(), closes=True),
    )
    return [
        case("waiting", _EXPECT, (head, Pause(0.05), b"hello"), *either),
        case("waiting-chunked", _EXPECT,
             (post(b"Transfer-Encoding: chunked", b"Expect: 100-continue"), Pause(0.05), b"5\r\nhello\r\n0\r\n\r\n"),
             *either),
        case("upper-case", _EXPECT, (post(b"Content-Length: 5", b"Expect: 100-Continue"), Pause(0.05), b"hello"),
        *either),
        case("not-waiting", _EXPECT, head + b"hello", posted(b"hello"), continued),
        case("no-body", "RFC 9110 section 10.1.1: no body, no expectation", get(b"Expect: 100-continue"),
             (Passed(target=TARGET, interim=()),), passed(), refused(400, 417)),
        case("zero-body", "RFC 9110 section 10.1.1", post(b"Content-Length: 0", b"Expect: 100-continue"), posted(),
        refused(400, 417)),
        case("old", _EXPECT, (old, Pause(0.05), b"hello"), silent_old),
        case("unknown", _UNKNOWN, post(b"Content-Length: 5", b"Expect: magic", body=b"hello"),
             refused(417, 400), posted(b"hello")),
        case("unknown-beside", _UNKNOWN, post(b"Content-Length: 5", b"Expect: 100-continue, magic", body=b"hello"),
             refused(417, 400), *either),
        case("parameter", _UNKNOWN, post(b"Content-Length: 5", b"Expect: 100-continue;a=b", body=b"hello"),
        refused(417, 400), *either),
        case("twice", _UNKNOWN, post(b"Content-Length: 5", b"Expect: 100-continue", b"Expect: 100-continue",
        body=b"hello"),
             refused(417, 400), *either),
        case("empty", _UNKNOWN, post(b"Content-Length: 5", b"Expect:", body=b"hello"), refused(417, 400), *either),
        case("space-inside", _UNKNOWN, post(b"Content-Length: 5", b"Expect: 100 continue", body=b"hello"),
        refused(417, 400), *either),
        case("obfuscated", "PortSwigger 2025: a malformed Expect makes proxies disagree about the body",
             post(b"Content-Length: 5", b"Expect: y 100-continue", body=b"hello"), refused(417, 400), *either),
        case("obs-fold", "PortSwigger 2025", post(b"Content-Length: 5", b"Expect:\r\n 100-continue", body=b"hello"),
             refused(400, closes=True), *either),
        case("get-with-body", "PortSwigger 2025: Expect on a GET", get(b"Content-Length: 5",
        b"Expect: 100-continue") + b"hello",
             passed(b"hello"), refused(400, 417, closes=True)),
        case("head-with-body", "PortSwigger 2025: Expect on a HEAD",
             lines(b"HEAD /v1/case HTTP/1.1", HOST, AUTH, b"Content-Length: 5", b"Expect: 100-continue") + b"hello",
             passed(b"hello", method=b"HEAD"), refused(400, 417, closes=True)),
        case("options-with-body", "PortSwigger 2025: Expect on OPTIONS",
             lines(b"OPTIONS /v1/case HTTP/1.1", HOST, AUTH, b"Content-Length: 5", b"Expect: 100-continue") + b"hello",
             passed(b"hello", method=b"OPTIONS"), refused(400, 417, closes=True)),
        case("body-is-a-request", "PortSwigger 2025",
             post(b"Content-Length: %d" % len(get(target=b"/v1/inner")), b"Expect: 100-continue",
             body=get(target=b"/v1/inner")),
             posted(get(target=b"/v1/inner"))),
        case("not-forwarded", "the gateway answers the expectation itself, once", head + b"hello",
             passed(b"hello", method=b"POST", fields={b"expect": []}), posted(b"hello")),
    ]  # fmt: skip


GROUPS = (
    Group(name="h2c", title="Upgrades to HTTP in another dress", cases=tuple(_h2c())),
    Group(name="upgrade", title="Upgrade", cases=tuple(_upgrades())),
    Group(name="expect", title="Expect: 100-continue", cases=tuple(_expectations())),
)
