"""Large and slow bodies through the whole data plane: every byte arrives, and hardly any is kept."""

from __future__ import annotations

import asyncio
import hashlib
import socket

import pytest

from gateway.domain.timeouts import Timeouts
from gateway.listeners.public import ListenerSettings
from tests.harness import Plane, plane, post, request
from tests.wire import Backend, Client, read_content, read_request, until

PIECE = b"0123456789abcdef" * 4096
PIECES = 512  # 32 MiB in all

BUFFERED_MAX = 64 * 1024 + 2 * 256 * 1024
"""What one direction may hold: the transport's high-water mark, what one read brings, and that once more in frames."""


def downloading(head: bytes, frame: bool = False) -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        for _ in range(PIECES):
            writer.write(b"%x\r\n" % len(PIECE) + PIECE + b"\r\n" if frame else PIECE)
            await writer.drain()
        if frame:
            writer.write(b"0\r\n\r\n")

    return backend


async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the number and digest of the bytes that came."""
    asked = await read_request(reader)
    left, digest = int(asked.fields["content-length"]), hashlib.sha256()
    while left:
        data = await reader.read(min(left, 2**20))
        assert data
        left -= len(data)
        digest.update(data)
    body = digest.hexdigest().encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await reader.read()


def small_buffers(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)


def downstream_unsent(held: Plane) -> int:
    (connection,) = held.listener._connections
    return connection._transport.get_write_buffer_size()


def upstream_unsent(held: Plane) -> int:
    (connection,) = held.target._open
    return connection._transport.get_write_buffer_size()


async def is_still(count: list[int]) -> None:
    """Return once a counter has stopped."""
    last = -1
    async with asyncio.timeout(5):
        while count[0] != last:
            last = count[0]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("head", "frame"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)), False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
async def test_large_answer_arrives_whole(head: bytes, frame: bool) -> None:
    async with plane(downloading(head, frame)) as held:
        answer = await held.answer(request())
        assert answer.body == PIECE * PIECES
        outcome = await held.outcome()
        assert (outcome.ended, outcome.response_bytes) == ("complete", len(answer.body))


async def test_large_body_arrives_whole() -> None:
    async with plane(counting) as held:
        client = await held.send(post(f"Content-Length: {PIECES * len(PIECE)}"))
        for _ in range(PIECES):
            client.send(PIECE)
            await client.writer.drain()
        expected = hashlib.sha256(PIECE * PIECES).hexdigest().encode()
        assert (await client.answer()).body == expected
        assert (await held.outcome()).request_bytes == PIECES * len(PIECE)


async def test_client_that_does_not_read_holds_up_the_upstream_and_fills_no_memory() -> None:
    written = [0]
    size = 10**9

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while True:
            writer.write(PIECE)
            await writer.drain()
            written[0] += len(PIECE)

    async with plane(endless) as held:
        client = await held.client()
        small_buffers(client.writer)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request())
        await until(lambda: written[0] > 0)
        await is_still(written)
        assert written[0] < 64 * 2**20  # the kernel's buffers and ours
        assert 0 < downstream_unsent(held) <= BUFFERED_MAX
        client.reset()
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "client_gone")
        await held.settled()


@pytest.mark.parametrize("framing", [f"Content-Length: {10**9}", "Transfer-Encoding: chunked"])
async def test_upstream_that_does_not_read_holds_up_the_client_and_fills_no_memory(
    framing: str,
) -> None:
    asked = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        small_buffers(writer)
        await read_request(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked.set()
        await asyncio.Event().wait()

    async with plane(deaf) as held:
        client = await held.send(post(framing))
        await asked.wait()
        sent = [0]
        piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if "chunked" in framing else PIECE

        async def pour() -> None:
            while True:
                client.send(piece)
                await client.writer.drain()
                sent[0] += len(PIECE)

        pouring = asyncio.ensure_future(pour())
        await until(lambda: sent[0] > 0)
        await is_still(sent)
        assert 0 < upstream_unsent(held) <= BUFFERED_MAX
        pouring.cancel()
        held.seen[0].transport.abort()
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (502, "close")
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (502, "complete")
        assert outcome.request_bytes < 64 * 2**20


async def test_body_that_came_early_does_not_overrun_an_upstream_that_is_full() -> None:
    """What was kept while the connection was made fills the upstream at once: reading must stay paused then."""
    asked = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        small_buffers(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked.set()
        await asyncio.Event().wait()

    async with plane(deaf) as held:
        size = 64 * 2**20
        client = await held.send(post(f"Content-Length: {size}", body=b"x" * size))
        await asked.wait()
        await asyncio.sleep(0.3)
        assert 0 < upstream_unsent(held) <= BUFFERED_MAX
        held.seen[0].transport.abort()
        assert (await client.answer()).status == 502
        assert (await held.outcome()).request_bytes < size


async def test_client_that_reads_slowly_gets_everything() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE))
    settings = ListenerSettings(write_timeout_seconds=0.5)
    timeouts = Timeouts(idle_seconds=0.2)
    async with plane(downloading(head), settings=settings, timeouts=timeouts) as held:
        client = await held.send(request())
        received = hashlib.sha256()
        await client.reader.readuntil(b"\r\n\r\n")
        left = PIECES * len(PIECE)
        while left:
            data = await client.reader.read(2**19)
            assert data
            left -= len(data)
            received.update(data)
            await asyncio.sleep(0.01)
        assert received.digest() == hashlib.sha256(PIECE * PIECES).digest()
        assert (await held.outcome()).ended == "complete"


async def test_sender_that_is_slow_in_either_direction_gets_everything_across() -> None:
    """Each pause is shorter than the timeouts, all of them together are longer."""
    pieces = [b"%d." % n * 1000 for n in range(12)]

    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        content = await read_content(reader, await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(content), 4000):
            piece = content[start : start + 4000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.1)
        writer.write(b"0\r\n\r\n")

    settings = ListenerSettings(body_timeout_seconds=1, write_timeout_seconds=1)
    timeouts = Timeouts(response_seconds=1, idle_seconds=1)
    async with plane(echoes, settings=settings, timeouts=timeouts) as held:
        client = await held.send(post("Transfer-Encoding: chunked"))
        for piece in pieces:
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.1)
        client.send(b"0\r\n\r\n")
        assert (await client.answer()).body == b"".join(pieces)
        assert (await held.outcome()).ended == "complete"


async def test_events_pass_one_by_one() -> None:
    more = asyncio.Queue[bytes]()

    async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while event := await more.get():
            writer.write(b"%x\r\n" % len(event) + event + b"\r\n")
        writer.write(b"0\r\n\r\n")

    async with plane(feed) as held:
        client = await held.send(request(close=False))
        await client.reader.readuntil(b"\r\n\r\n")
        for n in range(5):
            event = b"data: %d\n\n" % n
            more.put_nowait(event)
            assert await client.reader.readexactly(len(event) + 5) == b"9\r\n" + event + b"\r\n"
        more.put_nowait(b"")
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        assert (await held.outcome()).response_bytes == 45


@pytest.mark.slow
async def test_many_clients_at_once_leave_nothing_behind() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await read_request(reader)
            content = await reader.readexactly(int(asked.fields.get("content-length", 0)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            await writer.drain()

    async def visit(held: Plane, number: int) -> None:
        client: Client = await held.client()
        for n in range(10):
            body = b"%d" % (number * n)
            client.send(request(method="POST", body=body, close=False))
            if number % 5 == 4 and n == 5:
                client.reset()
                return
            assert (await client.answer()).body == body
        client.close()

    async with plane(echo, connections_max=8) as held:
        await asyncio.gather(*(visit(held, number) for number in range(50)))
        await held.settled()
        outcomes = await held.recorded.first(40 * 10 + 10 * 6)
        gone = [outcome for outcome in outcomes if outcome.ended == "client_gone"]
        assert len(gone) <= 10
        assert held.target.connections <= 8
