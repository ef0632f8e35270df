"""Upgrades pass the same checks as every request, and their tunnels hold every byte back or let it through."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random

import pytest

from gateway.domain.denial import Reason
from gateway.domain.limits import Claim, Rate
from gateway.domain.timeouts import Timeouts
from tests.e2e.test_streams import (
    BUFFERED_MAX,
    downstream_unsent,
    is_still,
    small_buffers,
    upstream_unsent,
)
from tests.harness import OTHER_TOKEN, plane, request
from tests.wire import Asked, Backend, answering, once, read_request, until

HANDSHAKE = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Origin: https://app.test",
)
ACCEPTED = (
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Protocol: chat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    + ACCEPTED
    + b"\r\n"
)
PIECE = bytes(65536)


def upgrade(token: str | None = None, target: str = "/v1/things") -> bytes:
    raw = request(target, fields=HANDSHAKE, close=False)
    return request(target, token=token, fields=HANDSHAKE, close=False) if token else raw


def opening(asked: list[Asked], then: bytes = b"") -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        writer.write(SWITCHING + then)
        while data := await reader.read(65536):
            writer.write(data)

    return backend


async def test_handshake_crosses_untouched_both_ways_and_the_key_does_not() -> None:
    asked: list[Asked] = []
    async with plane(opening(asked)) as held:
        client = await held.send(upgrade())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert ACCEPTED in head
        seen = asked[0].fields
        for line in HANDSHAKE[2:]:
            name, _, value = line.partition(": ")
            assert seen[name.lower()] == value
        assert (seen["connection"], seen["upgrade"]) == ("upgrade", "websocket")
        assert "authorization" not in seen
        assert seen["x-gateway-key-id"] == "key_a"
        client.reset()
        await held.outcome()


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        (request(token=None, fields=HANDSHAKE), 401, Reason.MISSING_CREDENTIALS),
        (upgrade(OTHER_TOKEN), 403, Reason.INSUFFICIENT_SCOPE),
        (upgrade(target="/local/x"), 403, Reason.IP_NOT_ALLOWED),
        (upgrade(target="/nowhere"), 404, Reason.NO_ROUTE),
    ],
    ids=["no-key", "no-scope", "address", "no-route"],
)
async def test_upgrade_is_refused_like_any_request_and_never_reaches_the_upstream(
    raw: bytes, status: int, reason: Reason
) -> None:
    asked: list[Asked] = []
    async with plane(opening(asked), errors="hirepanda") as held:
        answer = await held.answer(raw)
        assert answer.status == status
        assert answer.body.startswith(b'{"error":{"code":')
        assert "upgrade" not in answer.fields
        assert (await held.outcome()).reason is reason
        assert not asked


async def test_upgrades_draw_on_the_limits_of_the_key() -> None:
    rule = Rate(name="minute", limit=1, window_seconds=60, burst=1)
    claim = Claim(bucket="lineage:lin_a:free:minute", policy="free/minute", rule=rule)
    async with plane(opening([]), claims=(claim,)) as held:
        first = await held.send(upgrade())
        await first.reader.readuntil(b"\r\n\r\n")
        answer = await held.answer(upgrade())
        assert answer.status == 429
        assert int(answer.fields["retry-after"]) >= 1
        first.reset()
        await held.recorded.first(2)


async def test_upstream_that_wants_an_upgrade_says_which_one() -> None:
    """RFC 9110 section 15.5.22: a 426 must name the protocol, hop by hop."""
    told = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
    async with plane(answering(told)) as held:
        client = await held.send(request(close=False) + request())
        answer = await client.answer()
        assert answer.status == 426
        assert answer.fields["upgrade"] == "websocket"
        assert answer.fields["connection"] == "upgrade"
        assert (await client.answer()).status == 426  # the connection lived on


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request", b"426 Upgrade Required"])
async def test_bytes_after_a_refused_upgrade_are_requests_and_checked_as_such(
    status: bytes,
) -> None:
    """No tunnel without a 101: what a client sends on is no way around the policy."""
    told = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status
    heads: list[bytes] = []
    async with plane(answering(told, seen=heads)) as held:
        client = await held.send(upgrade() + request("/v1/secret", token=None))
        assert (await client.answer()).status == int(status[:3])
        assert (await client.answer()).status == 401
        assert len(heads) == 1


async def test_bytes_of_both_sides_that_come_with_the_handshake_arrive() -> None:
    async with plane(opening([], then=b"from the upstream")) as held:
        client = await held.send(upgrade() + b"from the client")
        await client.reader.readuntil(b"\r\n\r\n")
        both = len(b"from the upstreamfrom the client")
        assert await client.reader.readexactly(both) == b"from the upstreamfrom the client"
        client.reset()
        await held.outcome()


async def test_large_frames_pass_unchanged() -> None:
    """Also compressed ones, whose content looks like anything: the tunnel reads only where frames end."""
    content = Random(1).randbytes(3 * 2**20)
    frame = b"\xc2\x7f" + len(content).to_bytes(8) + content
    async with plane(opening([])) as held:
        client = await held.send(upgrade())
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(3):
            client.send(frame)
            async with asyncio.timeout(10):
                assert await client.reader.readexactly(len(frame)) == frame
        client.reset()
        outcome = await held.outcome()
        assert outcome.request_bytes == outcome.response_bytes == 3 * len(frame)


async def test_what_only_the_client_says_keeps_a_tunnel_open() -> None:
    received = hashlib.sha256()

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING)
        while data := await reader.read(65536):
            received.update(data)

    async with plane(listens, timeouts=Timeouts(idle_seconds=1)) as held:
        client = await held.send(upgrade())
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(13):
            client.send(b"x")
            await asyncio.sleep(0.1)
        assert not held.recorded.outcomes
        assert await client.until_closed() == b""
        outcome = await held.outcome()
        assert (outcome.ended, outcome.request_bytes) == ("timeout", 13)


async def test_client_that_does_not_read_a_tunnel_holds_up_the_upstream() -> None:
    written = [0]

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING)
        while True:
            writer.write(PIECE)
            await writer.drain()
            written[0] += len(PIECE)

    async with plane(floods) as held:
        client = await held.client()
        small_buffers(client.writer)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(upgrade())
        await until(lambda: written[0] > 0 and downstream_unsent(held) > 0)
        await is_still(written)
        assert 0 < downstream_unsent(held) <= BUFFERED_MAX
        client.reset()
        await held.outcome()
        await held.settled()


async def test_upstream_that_does_not_read_a_tunnel_holds_up_the_client() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        small_buffers(writer)
        await read_request(reader)
        writer.write(SWITCHING)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with plane(deaf) as held:
        client = await held.send(upgrade())
        await client.reader.readuntil(b"\r\n\r\n")
        sent = [0]

        async def pour() -> None:
            while True:
                client.send(PIECE)
                await client.writer.drain()
                sent[0] += len(PIECE)

        pouring = asyncio.ensure_future(pour())
        await until(lambda: upstream_unsent(held) > 0)
        await is_still(sent)
        assert 0 < upstream_unsent(held) <= BUFFERED_MAX
        pouring.cancel()
        held.seen[0].transport.abort()
        assert (await held.outcome()).ended == "upstream_broke"
        await held.settled()


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "TLS/1.2, HTTP/1.1", "h2"])
async def test_http_in_another_dress_is_never_tunnelled(protocol: str) -> None:
    heads: list[bytes] = []
    told = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with plane(answering(told, seen=heads)) as held:
        fields = [
            "Connection: Upgrade, HTTP2-Settings",
            f"Upgrade: {protocol}",
            "HTTP2-Settings: A",
        ]
        assert (await held.answer(request(fields=fields))).status == 200
        assert b"\r\nupgrade" not in heads[0].lower()
        assert b"http2-settings" not in heads[0].lower()


async def test_other_protocol_than_websocket_is_tunnelled_too() -> None:
    async with plane(
        once(
            b"HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: imap\r\n\r\n* OK\r\n", then="wait"
        )
    ) as held:
        fields = ["Connection: upgrade", "Upgrade: imap"]
        client = await held.send(request(fields=fields, close=False))
        assert b"\r\nupgrade: imap\r\n" in (await client.reader.readuntil(b"\r\n\r\n")).lower()
        assert await client.reader.readexactly(6) == b"* OK\r\n"
        client.reset()
        await held.outcome()
