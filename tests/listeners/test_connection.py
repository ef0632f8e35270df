"""One client connection against the whole data plane."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest

from gateway.domain.denial import Reason
from gateway.http1.request_head import HeadLimits
from gateway.listeners.public import ListenerSettings
from tests.harness import TOKEN, plane, request
from tests.wire import OK, Client, answering, echo, read_request, until

REFUSED = request(token=None, close=False)
ALLOWED = request(close=False)


async def keeps(client: Client) -> bool:
    """Tell whether the connection still answers requests."""
    client.send(ALLOWED)
    return (await client.answer()).body == b"hello"


async def test_connection_carries_one_request_after_another() -> None:
    async with plane(answering(OK)) as held:
        client = await held.client()
        for _ in range(3):
            client.send(ALLOWED)
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"hello")
            assert "connection" not in answer.fields
        assert held.listener.connections == 1
        assert held.target.connections == 1
        for outcome in await held.recorded.first(3):
            assert (outcome.status, outcome.ended, outcome.response_bytes) == (200, "complete", 5)
            assert (outcome.source, outcome.upstream, outcome.reason) == ("upstream", "up", None)


async def test_request_is_read_byte_by_byte() -> None:
    async with plane(answering(OK)) as held:
        client = await held.client()
        for n in range(len(ALLOWED)):
            client.send(ALLOWED[n : n + 1])
            await asyncio.sleep(0)
        assert (await client.answer()).body == b"hello"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with plane(echo) as held:
        bodies = [b"a", b"bb" * 40000, b"", b"c" * 9]
        raw = b"".join(request(method="POST", body=body, close=False) for body in bodies)
        client = await held.send(raw)
        assert [(await client.answer()).body for _ in bodies] == bodies
        outcomes = await held.recorded.first(len(bodies))
        assert [outcome.request_bytes for outcome in outcomes] == [len(body) for body in bodies]


async def test_refused_and_forwarded_requests_are_answered_in_order() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send((ALLOWED + REFUSED) * 20)
        assert [(await client.answer()).status for _ in range(40)] == [200, 401] * 20
        assert [o.status for o in await held.recorded.first(40)] == [200, 401] * 20


async def test_hundreds_of_pipelined_refusals_do_not_recurse() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(REFUSED * 500 + ALLOWED)
        assert [(await client.answer()).status for _ in range(501)] == [401] * 500 + [200]
        await held.recorded.first(501)
        assert await keeps(client)


async def test_others_are_served_while_one_client_pipelines() -> None:
    async with plane(answering(OK)) as held:
        turns: list[int] = []

        def look() -> None:
            turns.append(len(held.recorded.outcomes))
            if turns[-1] < 1000:
                asyncio.get_running_loop().call_soon(look)

        client = await held.send(REFUSED * 1000)
        look()
        for _ in range(1000):
            await client.answer()
        assert max(b - a for a, b in pairwise(turns)) <= 128


async def test_client_that_pipelines_without_reading_is_held_off() -> None:
    settings = ListenerSettings(write_timeout_seconds=0.3)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while not client.writer.is_closing() and held.listener.connections:
            client.send(REFUSED * 100)
            sent += 100
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.05):
                    await client.writer.drain()
        await held.settled()
        assert len(held.recorded.outcomes) < sent


@pytest.mark.parametrize("beginning", [b"", b"\r\n"])
async def test_one_empty_line_before_a_request_is_ignored(beginning: bytes) -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(beginning + ALLOWED)
        assert (await client.answer()).status == 200
        client.send(b"\r")
        await asyncio.sleep(0.01)
        client.send(b"\n" + ALLOWED)
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 6000, 431),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x00" * 100, 400),
    ],
)
async def test_what_is_no_request_is_refused_at_once_and_the_connection_closed(
    raw: bytes, status: int
) -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(raw)
        answer = await client.answer()
        assert answer.status == status
        assert answer.fields["connection"] == "close"
        assert await client.until_closed() == b""
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.source) == (status, "complete", "gateway")
        assert outcome.reason is not None
        assert not held.seen


async def test_what_follows_a_malformed_request_is_never_read_as_one() -> None:
    async with plane(answering(OK)) as held:
        received = await held.ask(b"GET /bad path HTTP/1.1\r\n\r\n" + ALLOWED)
        assert received.count(b"HTTP/1.1 ") == 1
        assert (await held.outcome()).status == 400


async def test_slow_head_is_answered_408() -> None:
    settings = ListenerSettings(head_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (408, "close")
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (408, Reason.REQUEST_TIMEOUT)
        await client.until_closed()


async def test_dripping_bytes_does_not_buy_a_slow_head_time() -> None:
    settings = ListenerSettings(head_timeout_seconds=0.2)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(b"GET / HTTP/1.1\r\nx: ")
        started = asyncio.get_running_loop().time()
        while not held.recorded.outcomes:
            client.send(b"y")
            await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - started < 0.5
        assert (await client.answer()).status == 408


async def test_slow_second_head_is_answered_408() -> None:
    settings = ListenerSettings(head_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(ALLOWED + b"GET /")
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 408
        await held.recorded.first(2)


@pytest.mark.parametrize("raw", [b"", b"\r\n"])
async def test_connection_without_a_request_is_closed_without_a_word(raw: bytes) -> None:
    settings = ListenerSettings(head_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(raw)
        assert await client.until_closed() == b""
        assert not held.recorded.outcomes


async def test_idle_connection_is_closed() -> None:
    settings = ListenerSettings(idle_timeout_seconds=0.1)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(ALLOWED)
        assert (await client.answer()).status == 200
        assert await client.until_closed() == b""
        await held.recorded.first(1)


@pytest.mark.parametrize(
    ("version", "connection", "told"),
    [
        ("1.1", "", ""),
        ("1.1", "Connection: close\r\n", "close"),
        ("1.1", "Connection: Keep-Alive\r\n", ""),
        ("1.0", "", "close"),
        ("1.0", "Connection: keep-alive\r\n", "keep-alive"),
        ("1.0", "Connection: close\r\n", "close"),
    ],
)
@pytest.mark.parametrize("token", [TOKEN, "wrong"])
async def test_connection_is_kept_or_closed_as_the_client_asks(
    version: str, connection: str, told: str, token: str
) -> None:
    async with plane(answering(OK)) as held:
        raw = f"GET /v1 HTTP/{version}\r\nHost: a\r\n{connection}Authorization: Bearer {token}\r\n\r\n"
        client = await held.send(raw.encode())
        answer = await client.answer()
        assert answer.status == (200 if token == TOKEN else 401)
        assert answer.fields.get("connection", "") == told
        if told == "close":
            assert await client.until_closed() == b""
        else:
            assert await keeps(client)


async def test_connection_is_closed_after_its_last_request() -> None:
    settings = ListenerSettings(requests_per_connection_max=2)
    async with plane(answering(OK), settings=settings) as held:
        client = await held.send(ALLOWED * 3)
        assert "connection" not in (await client.answer()).fields
        assert (await client.answer()).fields["connection"] == "close"
        assert await client.until_closed() == b""
        await held.recorded.first(2)


@pytest.mark.parametrize("token", [TOKEN, None])
async def test_answer_to_head_has_no_body(token: str | None) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    async with plane(answering(head)) as held:
        client = await held.send(request(method="HEAD", token=token, close=False))
        answer = await client.answer("HEAD")
        assert answer.status == (200 if token else 401)
        assert int(answer.fields["content-length"]) >= 5
        client.send(request(method="HEAD", close=False))
        assert (await client.answer("HEAD")).fields["content-length"] == "5"
        outcomes = await held.recorded.first(2)
        assert [outcome.response_bytes for outcome in outcomes] == [0, 0]


async def test_answer_reaches_a_client_that_still_sends_a_large_refused_body() -> None:
    async with plane(answering(OK)) as held:
        size = 4 * 2**20
        client = await held.send(
            request(method="POST", token=None, fields=[f"Content-Length: {size}"], close=False)
        )
        client.send(b"x" * size)
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (401, "close")
        assert await client.until_closed() == b""
        assert not held.seen
        await held.recorded.first(1)


async def test_closed_connection_is_cut_when_the_client_stays() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(request())
        await client.answer()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(4):
            await until(lambda: not held.listener.connections)


async def test_large_last_answer_is_not_cut_while_the_client_reads_it_slowly() -> None:
    body = b"x" * (8 * 2**20)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    settings = ListenerSettings(write_timeout_seconds=0.2)
    async with plane(answering(response), settings=settings) as held:
        client = await held.send(request())
        received = b""
        while len(received) < len(body):
            await asyncio.sleep(0.01)
            data = await client.reader.read(200_000)
            assert data
            received += data
        assert received.endswith(body)
        assert (await held.outcome()).ended == "complete"


async def test_client_that_reads_nothing_is_cut() -> None:
    body = b"x" * (16 * 2**20)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    settings = ListenerSettings(write_timeout_seconds=0.2)
    async with plane(answering(response), settings=settings) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(ALLOWED)
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "timeout")
        assert 0 < outcome.response_bytes < len(body)
        await held.settled()


async def test_body_in_small_pieces_does_not_buy_a_client_that_does_not_read_time() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    settings = ListenerSettings(write_timeout_seconds=0.3)
    async with plane(early, settings=settings) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request(method="POST", fields=["Content-Length: 1000000"]))
        while not held.recorded.outcomes:
            client.send(b"y")
            await asyncio.sleep(0.02)
        assert (await held.outcome()).ended == "timeout"
        await held.settled()


async def test_limits_of_the_head_are_the_settings() -> None:
    limits = HeadLimits(target_bytes_max=50, head_bytes_max=200_000, head_fields_max=5)
    settings = ListenerSettings(head_limits=limits)
    async with plane(answering(OK), settings=settings) as held:
        assert (await held.answer(request("/v1/" + "a" * 50))).status == 414
        assert (await held.answer(request(fields=["x: " + "a" * 150_000]))).status == 200
        assert (await held.answer(request(fields=["a: b"] * 6))).status == 431
