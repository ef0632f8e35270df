"""One connection, many requests: order, pipelining, keep-alive and close, what follows an error."""

from __future__ import annotations

from tests.conformance.case import Case, Group, Passed, Pause, Refused, Step
from tests.conformance.cases.words import (
    CLOSED,
    FAULTY,
    HOST,
    case,
    chunked,
    get,
    lines,
    passed,
    post,
    posted,
    refused,
)
from tests.conformance.driver import AUTH

_ORDER = "RFC 9112 section 9.3.2: pipelined requests are answered in order"
_CLOSE = "RFC 9112 section 9.6: after close there is no further request on the connection"
_KEEP = "RFC 9112 section 9.3: HTTP/1.1 persists unless told otherwise, HTTP/1.0 only if told so"
_AFTER = "RFC 9112 section 9.3.2: what follows a request that was refused is its own, or the connection ends"


def _asked(number: int) -> bytes:
    return b"/v1/n%d" % number


def _steps(count: int) -> tuple[Step, ...]:
    return tuple(Passed(target=_asked(number)) for number in range(count))


def _pipelined() -> list[Case]:
    found = [
        case(f"{count}-deep", _ORDER, b"".join(get(target=_asked(number)) for number in range(count)), _steps(count),
             splits=count < 10)
        for count in (2, 3, 8, 64, 200)
    ]  # fmt: skip
    posts = b"".join(
        post(b"Content-Length: 5", body=b"n%04d" % n, target=_asked(n)) for n in range(20)
    )
    mixed = (
        get(target=_asked(0)) + post(b"Content-Length: 5", body=b"hello", target=_asked(1))
        + b"HEAD /v1/n2 HTTP/1.1\r\n" + HOST + b"\r\n" + AUTH + b"\r\n\r\n"
        + chunked(b"5\r\nhello\r\n0\r\n\r\n").replace(b"/v1/case", _asked(3)) + get(target=_asked(4))
    )  # fmt: skip
    return [
        *found,
        case("with-bodies", _ORDER, posts,
             tuple(Passed(method=b"POST", target=_asked(n), body=b"n%04d" % n) for n in range(20)), splits=False),
        case("mixed", _ORDER, mixed,
             (Passed(target=_asked(0)), Passed(method=b"POST", target=_asked(1), body=b"hello"),
              Passed(method=b"HEAD", target=_asked(2)), Passed(method=b"POST", target=_asked(3), body=b"hello"),
              Passed(target=_asked(4)))),
        case("chunked-then-get", _ORDER, chunked(b"5\r\nhello\r\n0\r\n\r\n") + get(target=b"/v1/next"),
             (*posted(b"hello"), *passed(target=b"/v1/next"))),
        case("chunked-trailer-then-get", _ORDER, chunked(b"0\r\nX-T: 1\r\n\r\n") + get(target=b"/v1/next"),
             (*posted(), *passed(target=b"/v1/next"))),
        case("crlf-after-body", "RFC 9112 section 2.2: an extra CRLF after a body is ignored, once",
             post(b"Content-Length: 5", body=b"hello\r\n") + get(target=b"/v1/next"), (*posted(b"hello"),
             *passed(target=b"/v1/next")),
             (*posted(b"hello"), *CLOSED)),
        case("body-too-long", "RFC 9112 section 6.3: what follows the length is the next request, and is no request",
             post(b"Content-Length: 5", body=b"hello-and-more\r\n\r\n"), (*posted(b"hello"), *CLOSED)),
        case("slow-second", _ORDER, (get(target=_asked(0)), Pause(), get(target=_asked(1))), _steps(2)),
        case("split-between", _ORDER, (get(target=_asked(0)) + get(target=_asked(1))[:20], Pause(),
        get(target=_asked(1))[20:]), _steps(2)),
        case("split-body", _ORDER, (post(b"Content-Length: 10", body=b"hello"), Pause(), b"world"),
        posted(b"helloworld")),
        case("split-chunk", _ORDER, (chunked(b"5\r\nhe"), Pause(), b"llo\r\n0\r", Pause(), b"\n\r\n"),
        posted(b"hello")),
    ]  # fmt: skip


def _errors() -> list[Case]:
    wrong: Step = Refused(statuses=FAULTY, closes=True)
    missing = lines(b"GET /v1/case HTTP/1.1", AUTH)
    return [
        case("good-then-bad", _AFTER, get() + get(b"Bad Name: x"), (*passed(), wrong)),
        case("bad-then-good", _AFTER, post(b"Content-Length: x") + get(), CLOSED),
        case("good-bad-good", _AFTER, get() + post(b"Content-Length: 5", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n") + get(),
             (*passed(), wrong)),
        case("no-host-then-good", _AFTER, missing + get(), refused(400, closes=True), (*refused(400), *passed())),
        case("bad-chunk-then-good", _AFTER, chunked(b"x\r\n") + get(), refused(*FAULTY, closes=True, partial=True)),
        case("version-then-good", _AFTER, get(version=b"HTTP/2.0") + get(), refused(400, 426, 505, closes=True)),
        case("sixteen-good-then-bad", _AFTER, b"".join(get(target=_asked(n)) for n in range(16)) + b"\x00\r\n\r\n",
        (*_steps(16), wrong),
             splits=False),
    ]  # fmt: skip


def _ends() -> list[Case]:
    def closing(value: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        return get(b"Connection: " + value, version=version)

    ended = passed(closes=True)
    old = b"HTTP/1.0"
    return [
        case("close", _CLOSE, closing(b"close"), ended),
        case("close-upper-case", _CLOSE, closing(b"CLOSE"), ended),
        case("close-mixed-case", _CLOSE, closing(b"Close"), ended),
        case("close-in-list", _CLOSE, closing(b"foo, close"), ended),
        case("close-first-in-list", _CLOSE, closing(b"close, foo"), ended),
        case("close-tab", _CLOSE, closing(b"foo,\tclose"), ended),
        case("close-and-keep-alive", "RFC 9112 section 9.3: close wins", closing(b"keep-alive, close"), ended),
        case("close-second-field", _CLOSE, get(b"Connection: foo", b"Connection: close"), ended),
        case("close-then-request", _CLOSE, closing(b"close") + get(target=b"/v1/ignored"), ended),
        case("close-then-garbage", _CLOSE, closing(b"close") + b"\x00garbage\r\n\r\n", ended),
        case("close-with-body", _CLOSE, post(b"Content-Length: 5", b"Connection: close", body=b"hello"),
             passed(b"hello", method=b"POST", closes=True)),
        case("close-chunked", _CLOSE, chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: close"), passed(b"hello",
        method=b"POST", closes=True)),
        case("closed-is-not-close", _KEEP, closing(b"closed"), passed()),
        case("xclose", _KEEP, closing(b"x-close"), passed()),
        case("keep-alive", _KEEP, closing(b"keep-alive"), passed()),
        case("empty", _KEEP, closing(b""), passed()),
        case("proxy-connection-close", "RFC 9112 section C.2.2: Proxy-Connection means nothing",
        get(b"Proxy-Connection: close"), passed()),
        case("old", _KEEP, get(version=old), ended),
        case("old-keep-alive", _KEEP, closing(b"keep-alive", old),
             (Passed(target=b"/v1/case", closes=False),), ended),
        case("old-keep-alive-case", _KEEP, closing(b"Keep-Alive", old), passed(), ended),
        case("old-close", _KEEP, closing(b"close", old), ended),
        case("old-keep-alive-close", _KEEP, closing(b"keep-alive, close", old), ended),
        case("old-then-request", _CLOSE, get(version=old) + get(target=b"/v1/ignored"), ended),
        case("old-with-length", _KEEP, post(b"Content-Length: 5", body=b"hello", version=old), passed(b"hello",
        method=b"POST", closes=True)),
        case("old-proxy-connection", "RFC 9112 section C.2.2", get(b"Proxy-Connection: keep-alive", version=old),
        ended),
        case("head-keeps", _KEEP, lines(b"HEAD /v1/case HTTP/1.1", HOST, AUTH), passed(method=b"HEAD")),
    ]  # fmt: skip


GROUPS = (
    Group(name="pipelining", title="Pipelining", cases=tuple(_pipelined())),
    Group(name="after-error", title="What follows a refused request", cases=tuple(_errors())),
    Group(name="keep-alive", title="Keep-alive and close", cases=tuple(_ends())),
)
