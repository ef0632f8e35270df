"""Responses on their way to the client."""

from __future__ import annotations

import pytest

from gateway.domain.passage import HOP_BY_HOP, response_fields, response_framing
from gateway.domain.request import CHUNKED, UNTIL_CLOSE, ResponseHead
from gateway.domain.routes import Route
from tests.domain.test_passage import fields

NOTHING: frozenset[bytes] = frozenset()
PLAIN = Route(name="r", pattern="/")


def head(
    *lines: str,
    status: int = 200,
    body_length: int = 0,
    upgrade: bytes = b"",
    nominated: tuple[bytes, ...] = (),
) -> ResponseHead:
    return ResponseHead(
        status=status,
        fields=fields(*lines),
        body_length=body_length,
        upgrade=upgrade,
        connection_options=frozenset(nominated),
    )


def crossing(
    answer: ResponseHead, *, on: Route = PLAIN, overwritten: frozenset[bytes] = NOTHING
) -> list[str]:
    return response_fields(answer, on, overwritten).decode("latin-1").split("\r\n")[:-1]


def test_fields_cross_in_order_as_they_were_spelled() -> None:
    kept = ["Server: up", "DATE: d", "x-a: ", "Via: 1.1 other", "X_A: \xff"]
    assert crossing(head(*kept)) == kept


def test_cookies_are_never_merged() -> None:
    kept = ["Set-Cookie: a=1; Path=/", "Set-Cookie: b=2, c", "set-cookie: a=3"]
    assert crossing(head(*kept)) == kept


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_fields_of_one_hop_do_not_cross(name: bytes) -> None:
    assert crossing(head(f"{name.decode()}: x", f"{name.decode().upper()}: y", "A: b")) == ["A: b"]


def test_nominated_fields_do_not_cross() -> None:
    answer = head("X-A: 1", "x-b: 2", "C: 3", nominated=(b"x-a", b"x-b", b"close"))
    assert crossing(answer) == ["C: 3"]


@pytest.mark.parametrize("name", ["Content-Length", "X-Request-Id", "X-Gateway-Error-Source"])
def test_what_the_gateway_says_itself_is_not_taken_from_the_upstream(name: str) -> None:
    assert crossing(head(f"{name}: forged", "A: b")) == ["A: b"]


def test_rate_limit_fields_of_the_upstream_are_overwritten() -> None:
    answer = head("RateLimit: forged", "ratelimit: forged", "RateLimit-Reset: 5")
    assert crossing(answer, overwritten=frozenset({b"ratelimit"})) == ["RateLimit-Reset: 5"]


def test_a_route_removes_and_sets_fields() -> None:
    route = Route(
        name="r",
        pattern="/",
        response_headers_remove=frozenset({b"server", b"x-a"}),
        response_headers_set=((b"X-A", b"1"), (b"X-A", b"2")),
    )
    assert crossing(head("SERVER: up", "X-A: 0", "B: c"), on=route) == ["B: c", "X-A: 1", "X-A: 2"]


@pytest.mark.parametrize(
    ("status", "is_told"), [(200, False), (399, False), (400, True), (503, True)]
)
def test_an_error_says_that_it_is_the_upstreams(status: int, is_told: bool) -> None:
    lines = crossing(head("X-Gateway-Error-Source: gateway", status=status))
    assert lines == (["X-Gateway-Error-Source: upstream"] if is_told else [])


# ---- framing


@pytest.mark.parametrize(
    ("body_length", "to_http_10", "framing"),
    [
        (0, False, (b"Content-Length: 0\r\n", False)), (5, False, (b"Content-Length: 5\r\n", False)),
        (5, True, (b"Content-Length: 5\r\n", False)), (CHUNKED, False, (b"Transfer-Encoding: chunked\r\n", True)),
        (UNTIL_CLOSE, False, (b"Transfer-Encoding: chunked\r\n", True)), (CHUNKED, True, (b"", False)),
        (UNTIL_CLOSE, True, (b"", False)),
    ],
)  # fmt: skip
def test_a_body_is_framed_anew(
    body_length: int, to_http_10: bool, framing: tuple[bytes, bool]
) -> None:
    for status in (200, 205, 302, 500):
        answer = head("Content-Length: 9", status=status, body_length=body_length)
        assert response_framing(answer, method="GET", to_http_10=to_http_10) == framing


@pytest.mark.parametrize("to_http_10", [False, True])
def test_an_answer_to_head_keeps_the_announced_length(to_http_10: bool) -> None:
    answer = head("content-length: 5")
    framing = response_framing(answer, method="HEAD", to_http_10=to_http_10)
    assert framing == (b"Content-Length: 5\r\n", False)
    for unannounced in (head(), head("Transfer-Encoding: chunked")):
        framing = response_framing(unannounced, method="HEAD", to_http_10=to_http_10)
        assert framing == (b"", False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_304_keeps_the_announced_length_and_204_never_has_one(method: str) -> None:
    for status, framing in ((304, b"Content-Length: 5\r\n"), (204, b"")):
        answer = head("Content-Length: 5", status=status)
        assert response_framing(answer, method=method, to_http_10=False) == (framing, False)
    assert response_framing(head(status=304), method=method, to_http_10=False) == (b"", False)


def test_a_switch_of_protocols_names_the_new_one() -> None:
    answer = head("Upgrade: WebSocket", "Content-Length: 5", status=101, upgrade=b"websocket")
    framing = response_framing(answer, method="GET", to_http_10=False)
    assert framing == (b"Connection: upgrade\r\nUpgrade: websocket\r\n", False)


def test_426_keeps_the_upgrade_that_it_demands() -> None:
    kept = ["Upgrade: websocket", "Connection: upgrade", "X-Gateway-Error-Source: upstream"]
    told = ("UPGRADE: websocket", "Connection: Upgrade, x")
    assert crossing(head(*told, status=426, nominated=(b"upgrade", b"x"))) == kept
    assert crossing(head(*told, status=200, nominated=(b"upgrade", b"x"))) == []
