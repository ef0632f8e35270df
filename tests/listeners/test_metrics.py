from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from gateway.listeners.metrics import create_metrics_app

Clients = Callable[[web.Application], Coroutine[Any, Any, TestClient[web.Request, web.Application]]]


class Gateway:
    """What the listener watches."""

    def __init__(self) -> None:
        self.ready: tuple[bool, Mapping[str, Any]] = (True, {"generation": 3})
        self.accepts: list[str] = []
        self.error: Exception | None = None

    def render(self, accept: str) -> tuple[bytes, str]:
        if self.error is not None:
            raise self.error
        self.accepts.append(accept)
        return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"

    def is_ready(self) -> tuple[bool, Mapping[str, Any]]:
        return self.ready


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def client(
    gateway: Gateway, aiohttp_client: Clients
) -> TestClient[web.Request, web.Application]:
    return await aiohttp_client(create_metrics_app(gateway.render, gateway.is_ready))


Client = TestClient[web.Request, web.Application]


async def test_metrics_are_served_in_the_format_that_was_negotiated(
    client: Client, gateway: Gateway
) -> None:
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert (response.status, await response.read()) == (200, b"up 1\n")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "tollhouse"
    assert gateway.accepts == ["application/openmetrics-text"]


async def test_metrics_that_cannot_be_rendered_are_an_error_that_reveals_nothing(
    client: Client, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.error = RuntimeError("postgres://user:pw@10.0.0.1")
    response = await client.get("/metrics")
    assert (response.status, await response.json()) == (500, {"error": "internal"})
    assert "the metrics could not be rendered" in caplog.text


async def test_a_live_gateway_says_so_even_when_it_is_not_ready(
    client: Client, gateway: Gateway
) -> None:
    gateway.ready = (False, {})
    response = await client.get("/livez")
    assert (response.status, await response.json()) == (200, {"status": "alive"})


async def test_readiness_tells_its_details(client: Client) -> None:
    response = await client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"status": "ready", "generation": 3})


async def test_a_draining_gateway_is_not_ready_and_says_why(
    client: Client, gateway: Gateway
) -> None:
    gateway.ready = (False, {"reasons": ["draining"]})
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.json() == {"status": "not_ready", "reasons": ["draining"]}


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz"])
async def test_head_answers_like_get_without_a_body(client: Client, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers["Content-Length"] == str(len(await got.read()))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/metrics/"), ("POST", "/metrics"), ("DELETE", "/admin/v1/keys")],
)
async def test_everything_else_is_not_found(client: Client, method: str, path: str) -> None:
    response = await client.request(method, path)
    assert response.status == 404
    assert (await response.json())["error"] == "not_found"
