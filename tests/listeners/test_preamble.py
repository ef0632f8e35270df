"""PROXY protocol in front of the first request."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

import pytest

from gateway.domain.closing import Refused
from gateway.http1.proxy_protocol import SIGNATURE_V2
from gateway.listeners.public import ListenerSettings
from tests.harness import plane, request
from tests.wire import OK, answering, until

SETTINGS = ListenerSettings(proxy_protocol=True, head_timeout_seconds=0.5)
TRUSTED = ["127.0.0.0/8"]


def version_2(command: int, source: str, rest: bytes = b"") -> bytes:
    block = socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1, 80)
    return SIGNATURE_V2 + bytes([command, 0x11]) + struct.pack("!H", len(block)) + block + rest


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\n", "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (version_2(0x21, "198.51.100.8"), "198.51.100.8"),
        (version_2(0x20, "198.51.100.8"), "127.0.0.1"),
    ],
)
async def test_address_of_the_header_is_the_clients(header: bytes, address: str) -> None:
    seen: list[bytes] = []
    async with plane(answering(OK, seen=seen), settings=SETTINGS, trusted=TRUSTED) as held:
        client = await held.send(header + request(close=False))
        assert (await client.answer()).status == 200
        client.send(request())
        assert (await client.answer()).status == 200
        for outcome in await held.recorded.first(2):
            assert outcome.client_address == outcome.peer_address == address
        assert f"X-Forwarded-For: {address}\r\n".encode() in seen[0]


async def test_header_is_read_byte_by_byte() -> None:
    async with plane(answering(OK), settings=SETTINGS, trusted=TRUSTED) as held:
        client = await held.client()
        for byte in version_2(0x21, "198.51.100.8", request()):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 200
        assert (await held.outcome()).client_address == "198.51.100.8"


@pytest.mark.parametrize(
    "raw",
    [request(), b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 200, SIGNATURE_V2 + b"\x31\x11"],
)
async def test_anything_but_a_header_closes_the_connection_unanswered(
    raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with plane(answering(OK), settings=SETTINGS, trusted=TRUSTED) as held:
        with caplog.at_level(logging.WARNING):
            assert await held.ask(raw) == b""
        assert "rejected" in caplog.text
        assert not held.recorded.outcomes
        await held.settled()


async def test_header_of_a_peer_that_is_no_declared_proxy_is_not_even_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with plane(answering(OK), settings=SETTINGS, trusted=["192.0.2.0/24"]) as held:
        with caplog.at_level(logging.WARNING):
            raw = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n" + request()
            assert await held.ask(raw) == b""
        assert "no declared proxy" in caplog.text
        assert not held.recorded.outcomes


async def test_a_flood_of_rejected_connections_is_counted_and_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with plane(answering(OK), settings=SETTINGS, trusted=["192.0.2.0/24"]) as held:
        began = held.listener.time()
        with caplog.at_level(logging.WARNING):
            for _ in range(30):
                assert await held.ask(b"") == b""
        seconds = held.listener.time() - began
        assert held.listener.census.refused[Refused.PROXY_PROTOCOL] == 30
        assert 1 <= caplog.text.count("rejected") <= seconds + 1


@pytest.mark.parametrize("beginning", [b"", b"PROXY TCP4 198.5"])
async def test_header_that_does_not_come_in_time_ends_the_connection(beginning: bytes) -> None:
    settings = ListenerSettings(proxy_protocol=True, head_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings, trusted=TRUSTED) as held:
        client = await held.send(beginning)
        assert await client.until_closed() == b""
        assert not held.recorded.outcomes


async def test_client_that_leaves_before_its_header_is_forgotten() -> None:
    async with plane(answering(OK), settings=SETTINGS, trusted=TRUSTED) as held:
        for leave in ("close", "reset"):
            client = await held.send(b"PROXY")
            await until(lambda: held.listener.connections == 1)
            getattr(client, leave)()
            await held.settled()


async def test_http_header_is_refused_where_no_proxy_protocol_is_spoken() -> None:
    async with plane(answering(OK)) as held:
        answer = await held.answer(b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\n" + request())
        assert answer.status == 400
