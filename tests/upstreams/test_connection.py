"""One upstream connection: what a response may look like, and what its absence means."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from gateway.domain.denial import Reason
from gateway.domain.routes import Route
from gateway.domain.timeouts import Timeouts
from gateway.listeners.public import ListenerSettings
from gateway.upstreams.target import Address
from tests.harness import plane, post, request
from tests.wire import OK, answering, echo, once, port_of, read_request

# ---- whole responses


@pytest.mark.parametrize(
    ("response", "body", "fields"),
    [
        (OK, b"hello", {"content-length": "5"}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", {"content-length": "0"}),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n",
            b"hello",
            {"transfer-encoding": "chunked"},
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello", {"transfer-encoding": "chunked"}),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", {"transfer-encoding": "chunked"}),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", {"content-length": "5"}),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", {}),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", {"content-length": "5"}),
        (b"HTTP/1.1 599 \r\nContent-Length: 2\r\n\r\nhi", b"hi", {"content-length": "2"}),
    ],
)
async def test_response_reaches_the_client_whole_and_framed_anew(
    response: bytes, body: bytes, fields: dict[str, str]
) -> None:
    async with plane(once(response)) as held:
        client = await held.send(request(close=False))
        answer = await client.answer()
        assert answer.status == int(response[9:12])
        assert answer.body == body
        framing = {"content-length", "transfer-encoding"}
        assert {n: v for n, v in answer.fields.items() if n in framing} == fields
        assert "connection" not in answer.fields
        outcome = await held.outcome()
        assert (outcome.ended, outcome.response_bytes) == ("complete", len(body))
        assert outcome.upstream_target == held.target.label


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
    ],
)
async def test_body_of_unknown_length_ends_with_the_connection_of_an_http_10_client(
    response: bytes,
) -> None:
    async with plane(once(response)) as held:
        raw = request(close=False).replace(b"HTTP/1.1", b"HTTP/1.0")
        head, _, body = (await held.ask(raw)).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert body == b"hello"


async def test_body_of_unknown_length_closes_even_a_kept_http_10_connection() -> None:
    async with plane(once(b"HTTP/1.1 200 OK\r\n\r\nhello")) as held:
        raw = request(fields=["Connection: keep-alive"], close=False).replace(b"/1.1", b"/1.0")
        head, _, body = (await held.ask(raw)).partition(b"\r\n\r\n")
        assert b"connection: close" in head.lower()
        assert body == b"hello"


async def test_interim_responses_are_read_past() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with plane(answering(interim + OK)) as held:
        for _ in range(2):
            answer = await held.answer(request())
            assert (answer.status, answer.body) == (200, b"hello")
        assert len(held.seen) == 1


async def test_response_is_read_byte_by_byte() -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            for byte in response:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with plane(slowly) as held:
        for _ in range(2):
            assert (await held.answer(request())).body == b"hello"
        assert len(held.seen) == 1


async def test_head_reaches_the_client_before_any_content_is_there() -> None:
    """A stream of events is open once its head came, long before the first event."""
    more = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await more.wait()
        writer.write(b"5\r\nhello\r\n0\r\n\r\n")

    async with plane(stream) as held:
        client = await held.send(request())
        async with asyncio.timeout(4):
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        more.set()
        assert await client.until_closed() == b"5\r\nhello\r\n0\r\n\r\n"


# ---- responses that cannot be believed


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        b"HTTP/2 200\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"hello",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000 + OK,
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nhi" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
async def test_malformed_response_is_a_502_at_once_and_its_connection_is_dropped(
    response: bytes,
) -> None:
    async with plane(once(response, then="wait")) as held:
        client = await held.send(request(close=False))
        assert (await client.answer()).status == 502
        outcome = await held.outcome()
        assert (outcome.status, outcome.source) == (502, "gateway")
        assert outcome.reason is Reason.UPSTREAM_BAD_RESPONSE
        assert held.target.connections == 0


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_connection_that_ends_within_the_head_is_a_502(then: str) -> None:
    async with plane(once(b"HTTP/1.1 200 OK\r\nConte", then=then)) as held:
        assert (await held.answer(request())).status == 502
        assert (await held.outcome()).reason is Reason.UPSTREAM_BAD_RESPONSE


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_connection_that_ends_before_the_head_is_a_502(method: str, then: str) -> None:
    async with plane(once(b"", then=then)) as held:
        assert (await held.answer(request(method=method))).status == 502
        assert (await held.outcome()).reason is Reason.UPSTREAM_UNREACHABLE
        assert len(held.seen) == 1  # a fresh connection: the request is not sent again


@pytest.mark.parametrize(
    ("response", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "close"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "reset"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "close"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "reset"),
    ],
)
async def test_truncated_response_never_reaches_the_client_as_a_whole_one(
    response: bytes, then: str
) -> None:
    async with plane(once(response, then=then)) as held:
        head, _, body = (await held.ask(request(close=False))).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"hello" in body or then == "reset" or b"hello" not in response
        if b"chunked" in head:
            assert not body.endswith(b"0\r\n\r\n")
        else:
            assert len(body) < 10
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "upstream_broke")
        assert outcome.reason is None
        await held.settled()


async def test_truncated_answer_to_an_http_10_client_ends_in_a_reset() -> None:
    """Its end is the end of the connection, so only a reset tells that it is not whole."""
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with plane(once(response)) as held:
        client = await held.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        assert (await held.outcome()).ended == "upstream_broke"


async def test_content_that_breaks_after_the_head_went_breaks_the_response_off() -> None:
    """What came with the head could still be a 502; this comes too late for it."""
    more = asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await more.wait()
        writer.write(b"zz\r\n")
        await reader.read()

    async with plane(backend) as held:
        client = await held.send(request(close=False))
        assert (await client.reader.readuntil(b"5\r\nhello\r\n")).startswith(b"HTTP/1.1 200 OK")
        more.set()
        assert await client.until_closed() == b""
        assert (await held.outcome()).ended == "upstream_broke"
        await held.settled()


# ---- upstreams that answer before they have the whole request


TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"


@pytest.mark.parametrize(
    ("answer", "received"),
    [
        (TOO_LARGE, (b"413", b"big")),
        (TOO_LARGE[:-1], (b"413", b"bi")),
        (TOO_LARGE[:30], (b"502", None)),
        (b"", (b"502", None)),
    ],
)
async def test_answer_that_came_before_a_reset_is_not_lost(
    answer: bytes, received: tuple[bytes, bytes | None]
) -> None:
    """An upstream that closes with content unread resets the connection, so our next write fails before we read."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        async with plane(addresses=[Address(host="127.0.0.1", port=port_of(server))]) as held:
            client = await held.send(post("Content-Length: 10", "Connection: close", body=b"1234"))
            peer, _ = await loop.sock_accept(server)
            await loop.sock_recv(peer, 10)  # and leaves the rest
            peer.sendall(answer)
            peer.close()
            (connection,) = held.target._open
            connection.write(b"5")  # nothing was read meanwhile
            connection._transport.flush()
            status, content = received
            head, _, body = (await client.until_closed()).partition(b"\r\n\r\n")
            assert head.split(b" ")[1] == status
            assert content is None or body == content
            await held.settled()
            assert held.target.connections == 0


async def test_early_answer_is_relayed_while_the_client_still_sends() -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(TOO_LARGE)
        await writer.drain()

    size = 8 * 2**20
    async with plane(backend) as held:
        client = await held.send(post(f"Content-Length: {size}", body=b"x" * size))
        assert (await client.answer()).body == b"big"
        assert (await held.outcome()).status == 413
        client.close()
        await held.settled()


async def test_connection_whose_answer_came_before_the_request_ended_is_not_kept() -> None:
    """Its upstream may take the rest of the request for the next one."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        writer.write(await reader.readexactly(4))
        await reader.read()

    async with plane(backend) as held:
        client = await held.send(post("Content-Length: 4"))
        await client.reader.readuntil(b"\r\n\r\n")
        client.send(b"echo")
        assert await client.reader.readexactly(4) == b"echo"
        assert (await held.outcome()).ended == "complete"
        assert held.target.connections == 0


# ---- upstreams that do not answer


async def test_silent_upstream_is_a_504() -> None:
    async with plane(once(b"", then="wait"), timeouts=Timeouts(response_seconds=0.1)) as held:
        client = await held.send(request(close=False))
        assert (await client.answer()).status == 504
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (504, Reason.UPSTREAM_TIMEOUT)
        assert held.target.connections == 0


async def test_timeouts_of_a_route_take_the_place_of_the_upstreams() -> None:
    fast = Timeouts(response_seconds=0.1)
    table = [Route(name="all", pattern="/v1", kind="prefix", upstream="up", timeouts={"up": fast})]
    async with plane(once(b"", then="wait"), table=table) as held:
        assert (await held.answer(request())).status == 504


async def test_interim_responses_do_not_buy_time() -> None:
    async def hinting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                await asyncio.sleep(0.01)

    async with plane(hinting, timeouts=Timeouts(response_seconds=0.1)) as held:
        assert (await held.answer(request())).status == 504


async def test_time_to_answer_begins_when_the_request_has_ended() -> None:
    """A client that takes its time with the body is not the upstream's fault."""
    settings = ListenerSettings(body_timeout_seconds=2)
    async with plane(echo, timeouts=Timeouts(response_seconds=0.1), settings=settings) as held:
        client = await held.send(post("Content-Length: 2", body=b"a"))
        await asyncio.sleep(0.3)
        client.send(b"b")
        assert (await client.answer()).body == b"ab"


async def test_upstream_that_stalls_midway_is_cut() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    async with plane(once(response, then="wait"), timeouts=Timeouts(idle_seconds=0.1)) as held:
        received = await held.ask(request(close=False))
        assert received.endswith(b"hello")
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.response_bytes) == (200, "timeout", 5)
        await held.settled()


async def test_slow_but_steady_response_is_not_timed_out() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            writer.write(b"x")
            await asyncio.sleep(0.015)

    async with plane(slowly, timeouts=Timeouts(idle_seconds=0.15)) as held:
        assert (await held.answer(request())).body == b"x" * 30


async def test_whole_exchange_has_a_deadline_if_one_is_set() -> None:
    async def for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"x")
                await asyncio.sleep(0.01)

    async with plane(for_ever, timeouts=Timeouts(total_seconds=0.2)) as held:
        assert (await held.ask(request(close=False))).startswith(b"HTTP/1.1 200")
        assert (await held.outcome()).ended == "timeout"


async def test_upstream_that_reads_nothing_of_the_body_is_a_504() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not writer.is_closing():
            writer.write(b"")
            await asyncio.sleep(0.01)

    async with plane(deaf, timeouts=Timeouts(response_seconds=0.2)) as held:
        size = 32 * 2**20
        client = await held.send(post(f"Content-Length: {size}", body=b"x" * size))
        assert (await client.answer()).status == 504
        outcome = await held.outcome()
        assert outcome.reason is Reason.UPSTREAM_TIMEOUT
        assert outcome.request_bytes < size
        for writer in held.seen:
            writer.transport.abort()
