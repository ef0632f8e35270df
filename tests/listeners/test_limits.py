"""The limits against slow and hostile clients, on real sockets and with fast settings."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time

import pytest

from gateway.domain.closing import Closed, Refused
from gateway.domain.denial import Reason
from gateway.listeners.connection import HELD_BYTES_MAX
from gateway.listeners.exchange import EARLY_BYTES_MAX
from gateway.listeners.public import ListenerSettings
from tests.harness import Plane, plane, post, request
from tests.wire import OK, Client, answering, echo, read_content, read_request, silent, until

LARGE = 16 * 2**20
LARGE_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE
UNSENT_BYTES_MAX = 64 * 1024
"""What waits for a client before its upstream is paused."""

READ_AT_ONCE_MAX = 256 * 1024
"""What the event loop hands over of one connection at once."""


def closed(held: Plane) -> dict[str, int]:
    """Return the causes for which connections ended."""
    return {cause.value: count for cause, count in held.listener.census.closed.items() if count}


# ---- bodies


async def test_trickling_body_is_answered_408() -> None:
    settings = ListenerSettings(body_timeout_seconds=0.2, body_rate_min=10_000)
    async with plane(echo, settings=settings) as held:
        client = await held.send(post("Content-Length: 100000"))
        while not held.recorded.outcomes:
            client.send(b"xx")
            await asyncio.sleep(0.02)
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (408, "close")
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (408, Reason.REQUEST_TIMEOUT)
        client.close()
        await held.settled()
        assert closed(held) == {"body_rate": 1}


async def test_client_is_not_slow_while_the_upstream_takes_its_time() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        await asyncio.sleep(1.0)
        content = await read_content(reader, asked)
        for byte in b"%d" % len(content):
            await asyncio.sleep(0.1)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if byte else b"")
            break
        for byte in b"slowly":
            await asyncio.sleep(0.15)
            writer.write(b"1\r\n%c\r\n" % byte)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    settings = ListenerSettings(
        body_timeout_seconds=0.3,
        body_rate_min=100_000,
        write_timeout_seconds=0.3,
        write_rate_min=100_000,
    )
    body = b"x" * (12 * 2**20)  # more than all buffers between them take
    async with plane(slow, settings=settings) as held:
        client = await held.send(request(method="POST", body=body, close=False))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"slowly")
        assert (await held.outcome()).request_bytes == len(body)


# ---- answers


async def test_client_that_reads_too_slowly_is_cut() -> None:
    settings = ListenerSettings(write_timeout_seconds=0.3, write_rate_min=2**26)
    async with plane(answering(LARGE_OK), settings=settings) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request(close=False))
        sock = client.writer.get_extra_info("socket")
        descriptor = os.dup(sock.fileno())
        try:
            while not held.recorded.outcomes:
                await asyncio.sleep(0.02)
                os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "timeout")
        assert outcome.response_bytes < LARGE
        await held.settled()
        assert set(closed(held)) <= {"write_rate", "write_timeout"}


async def test_client_that_reads_fast_enough_gets_everything() -> None:
    settings = ListenerSettings(write_timeout_seconds=0.2, write_rate_min=1000)
    async with plane(answering(LARGE_OK), settings=settings) as held:
        client = await held.send(request())
        received = 0
        while data := await client.reader.read(300_000):
            received += len(data)
            await asyncio.sleep(0.02)
        assert received > LARGE
        assert (await held.outcome()).ended == "complete"


# ---- connections


async def kept(held: Plane) -> Client:
    """Open a connection that has served a request and is idle, for longer than the next one."""
    client = await held.send(request(close=False))
    assert (await client.answer()).status == 200
    await asyncio.sleep(0.01)  # the loop's clock counts milliseconds
    return client


async def test_idle_connections_make_room_for_new_ones_the_longest_idle_first() -> None:
    async with plane(answering(OK), settings=ListenerSettings(connections_max=3)) as held:
        idle = [await kept(held) for _ in range(3)]
        idle[0].send(request(close=False))
        assert (await idle[0].answer()).status == 200  # so now the second is idle for longest
        fourth = await kept(held)
        assert await idle[1].until_closed() == b""
        for client in (idle[0], idle[2], fourth):
            client.send(request(close=False))
            assert (await client.answer()).status == 200
        assert held.listener.connections == 3
        assert (held.listener.refused, closed(held)) == (0, {"evicted": 1})


async def test_an_idle_flood_locks_nobody_out() -> None:
    async with plane(answering(OK), settings=ListenerSettings(connections_max=20)) as held:
        for _ in range(60):
            await kept(held)
            assert held.listener.connections <= 20
        assert held.listener.refused == 0
        await until(lambda: closed(held) == {"evicted": 40})


async def test_busy_connections_are_not_closed_for_new_ones() -> None:
    async with plane(silent, settings=ListenerSettings(connections_max=2)) as held:
        for _ in range(2):
            await held.send(request(close=False))
        await until(lambda: held.listener.in_flight == 2)
        late = await held.send(request())
        assert await late.until_closed() == b""
        assert held.listener.in_flight == 2
        assert held.listener.census.refused[Refused.CONNECTIONS_MAX] == 1


async def test_slow_heads_make_room_after_a_moment() -> None:
    async with plane(answering(OK), settings=ListenerSettings(connections_max=2)) as held:
        slow = [await held.send(b"GET / HTTP/1.1\r\n")]
        await until(lambda: held.listener.connections == 1)
        await asyncio.sleep(0.01)
        slow.append(await held.send(b"GET / HTTP/1.1\r\n"))
        await until(lambda: held.listener.connections == 2)
        while True:
            client = await held.send(request())
            received = await client.until_closed()
            if received:
                break
            await asyncio.sleep(0.05)
        assert received.startswith(b"HTTP/1.1 200")
        assert await slow[0].until_closed() == b""


async def test_old_connection_is_closed_with_its_next_answer() -> None:
    async with plane(answering(OK), settings=ListenerSettings(lifetime_seconds=0.2)) as held:
        client = await kept(held)
        await asyncio.sleep(0.25)
        client.send(request(close=False))
        assert (await client.answer()).fields["connection"] == "close"
        assert await client.until_closed() == b""
        client.close()
        await held.settled()
        assert closed(held) == {"lifetime": 1}


@pytest.mark.parametrize(
    ("raw", "settings", "cause"),
    [
        (request(), ListenerSettings(), Closed.ANSWERED),
        (b"\x00\x00", ListenerSettings(), Closed.ANSWERED),
        (request(close=False), ListenerSettings(idle_timeout_seconds=0.1), Closed.IDLE_TIMEOUT),
        (
            request(close=False),
            ListenerSettings(requests_per_connection_max=1),
            Closed.REQUESTS_MAX,
        ),
        (b"", ListenerSettings(head_timeout_seconds=0.1), Closed.HEAD_TIMEOUT),
        (b"GET", ListenerSettings(head_timeout_seconds=0.1), Closed.HEAD_TIMEOUT),
        (
            post("Content-Length: 9"),
            ListenerSettings(body_timeout_seconds=0.1),
            Closed.BODY_TIMEOUT,
        ),
    ],
    ids=lambda value: value.value if isinstance(value, Closed) else "",
)
async def test_every_end_has_its_cause(
    raw: bytes, settings: ListenerSettings, cause: Closed
) -> None:
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(raw)
        await client.until_closed()
        client.close()
        await held.settled()
        assert closed(held) == {cause.value: 1}


async def test_clients_that_leave_and_answers_that_break_have_their_causes() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")

    async with plane(broken) as held:
        client = await held.send(request(close=False))
        assert (await client.until_closed()).endswith(b"hello")
        left = await held.send(b"GET")
        await until(lambda: held.listener.connections == 1)
        left.close()
        await held.settled()
        assert closed(held) == {"broken": 1, "client": 1}


# ---- bytes


async def test_what_is_kept_of_a_client_that_sends_ahead_is_bounded() -> None:
    async with plane(silent) as held:
        client = await held.send(request(close=False))
        await until(lambda: held.listener.in_flight == 1)
        (connection,) = held.listener.census.connections
        client.send(request(close=False) * 20_000)
        await until(lambda: not connection._is_reading)
        for _ in range(20):
            await asyncio.sleep(0.01)
            assert len(connection._buffer) <= HELD_BYTES_MAX + READ_AT_ONCE_MAX
        client.reset()
        await held.settled()
        assert connection._buffer == b""


async def test_what_is_kept_of_a_body_that_no_upstream_takes_yet_is_bounded() -> None:
    async with plane(silent, connections_max=1) as held:
        busy = await held.send(request(close=False))
        await until(lambda: len(held.seen) == 1)
        client = await held.send(post("Content-Length: 10000000", body=b"x" * 5_000_000))
        await until(lambda: held.target.waiting == 1)
        connections = held.listener.census.connections
        await until(lambda: any(not connection._is_reading for connection in connections))
        (connection,) = (each for each in connections if not each._is_reading)
        exchange = connection._exchange
        assert exchange is not None
        assert EARLY_BYTES_MAX < len(exchange._early) <= EARLY_BYTES_MAX + READ_AT_ONCE_MAX
        client.reset()
        busy.reset()
        await held.settled()


async def test_what_is_kept_of_an_answer_that_nobody_reads_is_bounded() -> None:
    async with plane(answering(LARGE_OK)) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request(close=False))
        await until(lambda: held.listener.in_flight == 1)
        (connection,) = held.listener.census.connections
        await until(lambda: connection.is_write_blocked)
        for _ in range(20):
            await asyncio.sleep(0.01)
            unsent = connection._transport.get_write_buffer_size()
            assert unsent <= UNSENT_BYTES_MAX + READ_AT_ONCE_MAX
        client.reset()
        await held.settled()


# ---- descriptors

CROWD = """
import socket, sys
kept = []
for _ in range(int(sys.argv[2])):
    sock = socket.socket()
    sock.settimeout(5)
    sock.connect(("127.0.0.1", int(sys.argv[1])))
    kept.append(sock)
ended = 0
for sock in kept[::-1]:
    sock.settimeout(0.02)
    try:
        ended += sock.recv(1) == b""
    except TimeoutError:
        pass
    except OSError:
        ended += 1
print(ended, flush=True)
sys.stdin.read()
"""
"""Opens connections from a process of its own, says how many were ended, and holds the others."""


async def test_running_out_of_descriptors_neither_spins_nor_ends_the_listener() -> None:
    async with plane(answering(OK)) as held:
        assert (await held.answer(request(close=False))).status == 200
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        crowd = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CROWD, str(held.address[1]), "60",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - names
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        try:
            async with asyncio.timeout(30):
                ended = int(await crowd.stdout.readline())
            assert 30 <= ended < 60
            spent = time.process_time()
            await asyncio.sleep(0.5)
            assert time.process_time() - spent < 0.4
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await held.answer(request())).status == 200
        crowd.stdin.close()
        await crowd.wait()
        await held.recorded.first(2)
