"""What is open is found by its key, and cut so that no client takes it for whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.control.clock import SystemClock
from gateway.domain.denial import Reason
from gateway.domain.streams import OpenStream, StreamKind
from gateway.http1.websocket import close_frame
from gateway.listeners.streams import CAUSES, OpenStreams
from tests.harness import OTHER_TOKEN, Plane, plane, post, request
from tests.wire import Asked, Backend, Client, keeping, once, read_request, silent, until

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
UNSIZED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
EVENT = b"8\r\ndata: 1\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n"
FRAME = b"\x81\x05hello"


def upgrade(protocol: str = "websocket") -> bytes:
    return request(fields=["Connection: upgrade", f"Upgrade: {protocol}"], close=False)


def switching(first: bytes = b"", protocol: bytes = b"websocket") -> Backend:
    return once(SWITCHING % protocol + first, then="wait")


class Later(SystemClock):
    """A clock that is a minute ahead: whatever goes on has gone on for long."""

    def monotonic(self) -> float:
        return time.monotonic() + 60


def watched(held: Plane, clock: SystemClock | None = None) -> OpenStreams:
    streams = OpenStreams(clock or SystemClock())
    streams.watch(held.listener)
    return streams


def revoking(key_id: str) -> Callable[[OpenStream], Reason | None]:
    def condemn(stream: OpenStream) -> Reason | None:
        is_its = stream.key is not None and stream.key.record.key_id == key_id
        return Reason.KEY_REVOKED if is_its else None

    return condemn


async def is_begun(client: Client, end: bytes = b"\r\n\r\n") -> None:
    await client.reader.readuntil(end)


async def is_open(streams: OpenStreams) -> OpenStream:
    """Return the only request that goes on, once its story knows its key."""
    await until(lambda: any(stream.key for stream in streams._open()))
    (stream,) = streams._open()
    return stream


async def broken(client: Client) -> tuple[bytes, bool]:
    """Return what came before the end, and whether the end was a reset."""
    received = b""
    async with asyncio.timeout(5):
        try:
            while data := await client.reader.read(65536):
                received += data
        except ConnectionResetError:
            return received, True
    return received, False


@pytest.mark.parametrize(
    ("backend", "asked", "kind"),
    [
        (switching(), upgrade(), StreamKind.WEBSOCKET),
        (switching(protocol=b"imap"), upgrade("imap"), StreamKind.TUNNEL),
        (once(SSE, then="wait"), request(), StreamKind.SSE),
        (once(SIZED + b"part", then="wait"), request(), StreamKind.DOWNLOAD),
        (silent, post("Content-Length: 100", body=b"part"), StreamKind.UPLOAD),
        (silent, request(), StreamKind.LONG_POLL),
    ],
    ids=list(StreamKind),
)
async def test_every_kind_of_stream_is_found_with_its_key(
    backend: Backend, asked: bytes, kind: StreamKind
) -> None:
    async with plane(backend) as held:
        streams = watched(held, Later())
        client = await held.send(asked)
        await is_open(streams)
        await until(lambda: [stream.kind for stream in streams.lasting()] == [kind])
        (stream,) = streams.lasting()
        assert stream.key is not None
        assert stream.route is not None
        assert (stream.key.record.key_id, stream.key.record.lineage_id) == ("key_a", "lin_a")
        assert (stream.route.name, stream.client_address) == ("things", "127.0.0.1")
        assert stream.stream_id.startswith("req_")
        assert stream.opened_at == pytest.approx(time.time() - 60, abs=30)
        await until(lambda: streams.counts()[(kind,)] == 1)
        assert sum(streams.counts().values()) == 1
        if b"part" in asked:
            await until(lambda: stream.request_bytes == 4)
        client.reset()
        await until(lambda: not list(streams.lasting()))
        await held.recorded.first(1)


async def test_young_request_is_no_stream_but_is_cut_all_the_same() -> None:
    async with plane(silent) as held:
        streams = watched(held)
        client = await held.send(request())
        await is_open(streams)
        assert list(streams.lasting()) == []
        assert await streams.cut(revoking("key_a")) == 1
        assert (await client.answer()).status == 401


async def test_request_without_a_key_is_listed_and_belongs_to_nobody() -> None:
    async with plane(once(SSE, then="wait")) as held:
        streams = watched(held)
        client = await held.send(request("/open", token=None))
        await is_begun(client)
        (stream,) = streams.lasting()
        assert stream.key is None
        assert await streams.cut(revoking("key_a")) == 0
        client.reset()
        await held.recorded.first(1)


async def test_idle_connection_and_answered_request_are_no_streams() -> None:
    async with plane(once(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then="wait")) as held:
        streams = watched(held, Later())
        client = await held.send(request(close=False))
        await client.answer()
        assert list(streams.lasting()) == []
        assert await streams.cut(lambda _: Reason.KEY_REVOKED) == 0


async def test_only_the_streams_of_the_key_are_cut() -> None:
    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SSE + EVENT)
        while await reader.read(65536):
            pass

    async with plane(events) as held:
        streams = watched(held)
        theirs = [await held.send(request()) for _ in range(3)]
        others = [await held.send(request("/small", token=OTHER_TOKEN)) for _ in range(3)]
        for client in (*theirs, *others):
            await is_begun(client, EVENT)
        assert len(list(streams.lasting())) == 6
        assert await streams.cut(revoking("key_a")) == 3
        for client in theirs:
            received, _ = await broken(client)
            assert b"0\r\n\r\n" not in received
        for stream in streams.lasting():
            assert stream.key is not None
            assert stream.key.record.key_id == "key_b"
        await until(lambda: held.target.connections == 3)
        assert streams.closed()[("key_revoked",)] == 3
        assert sum(streams.closed().values()) == 3
        assert {cause for (cause,) in streams.closed()} == set(CAUSES)
        for outcome in await held.recorded.first(3):
            assert (outcome.status, outcome.ended) == (200, "cut")
            assert (outcome.detail, outcome.reason) == ("cut: key_revoked", None)
        for writer in held.seen[3:]:
            writer.write(EVENT)
        for client in others:
            assert await client.reader.readexactly(len(EVENT)) == EVENT
            client.reset()
        await held.recorded.first(6)


@pytest.mark.parametrize(
    ("response", "asked", "is_reset"),
    [
        (SSE + EVENT, request(), False),
        (SIZED + b"part", request(), False),
        (UNSIZED + b"part", request(), False),
        (UNSIZED + b"part", request().replace(b"HTTP/1.1", b"HTTP/1.0"), True),
    ],
    ids=["chunked", "length", "until-close", "http-1.0"],
)
async def test_cut_answer_is_never_taken_for_a_whole_one(
    response: bytes, asked: bytes, is_reset: bool
) -> None:
    async with plane(once(response, then="wait")) as held:
        streams = watched(held)
        client = await held.send(asked)
        await is_begun(client)
        assert await streams.cut(revoking("key_a")) == 1
        received, was_reset = await broken(client)
        assert was_reset or not is_reset
        assert b"0\r\n\r\n" not in received
        assert len(received) < 100
        await held.settled()
        assert (await held.outcome()).ended == "cut"


async def test_cut_websocket_hears_why_between_two_frames() -> None:
    async with plane(switching(FRAME)) as held:
        streams = watched(held)
        client = await held.send(upgrade())
        await is_begun(client, FRAME)
        assert await streams.cut(revoking("key_a")) == 1
        assert await client.until_closed() == close_frame(1008, "key_revoked")
        client.close()
        await held.settled()
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.detail) == (101, "cut", "cut: key_revoked")


async def test_websocket_whose_client_had_ended_its_direction_hears_why_too() -> None:
    got: list[bytes] = []

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING % b"websocket")
        got.append(await reader.read())
        await asyncio.Event().wait()

    async with plane(listens) as held:
        streams = watched(held)
        client = await held.send(upgrade())
        await is_begun(client)
        client.writer.write_eof()
        await until(lambda: got == [b""])
        assert await streams.cut(revoking("key_a")) == 1
        assert await client.until_closed() == close_frame(1008, "key_revoked")
        await held.settled()


async def test_websocket_is_reset_within_a_frame() -> None:
    async with plane(switching(FRAME[:-1])) as held:
        streams = watched(held)
        client = await held.send(upgrade())
        await is_begun(client, FRAME[:-1])
        assert await streams.cut(revoking("key_a")) == 1
        assert await broken(client) == (b"", True)
        await held.settled()


async def test_websocket_is_reset_when_its_client_is_behind() -> None:
    """The close frame would reach it only when it has read the rest, and that may be never."""

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING % b"websocket")
        while True:
            writer.write(b"\x82\x7e\xff\xff" + bytes(65535))
            await writer.drain()

    async with plane(floods) as held:
        streams = watched(held)
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(upgrade())
        await is_open(streams)
        (connection,) = held.listener._connections
        await until(lambda: connection.is_write_blocked)
        assert await streams.cut(revoking("key_a")) == 1
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        received, was_reset = await broken(client)
        assert was_reset
        assert b"key_revoked" not in received
        await held.settled()


async def test_websocket_whose_upstream_has_ended_is_reset() -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING % b"websocket" + FRAME)
        writer.write_eof()
        await reader.read()

    async with plane(ends) as held:
        streams = watched(held)
        client = await held.send(upgrade())
        assert (await client.until_closed()).endswith(FRAME)
        assert await streams.cut(revoking("key_a")) == 1
        await held.settled()
        assert (await held.outcome()).ended == "cut"


async def test_other_tunnel_is_reset_for_no_word_of_ours_belongs_there() -> None:
    async with plane(switching(b"welcome", b"imap")) as held:
        streams = watched(held)
        client = await held.send(upgrade("imap"))
        await is_begun(client, b"welcome")
        assert await streams.cut(revoking("key_a")) == 1
        assert await broken(client) == (b"", True)
        await held.settled()


async def test_request_that_has_no_answer_yet_is_refused_in_the_dialect() -> None:
    async with plane(silent, errors="jobhive") as held:
        streams = watched(held)
        client = await held.send(request())
        await until(lambda: len(held.seen) == 1)
        await is_open(streams)
        assert await streams.cut(revoking("key_a")) == 1
        answer = await client.answer()
        assert (answer.status, answer.fields["connection"]) == (401, "close")
        assert b'"code":"INVALID_API_KEY"' in answer.body
        await held.settled()
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (401, Reason.KEY_REVOKED)


async def test_upload_is_refused_in_the_middle_and_not_one_more_byte_is_forwarded() -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received)) as held:
        streams = watched(held)
        client = await held.send(post("Content-Length: 100", body=b"part"))
        await until(lambda: received == [b"part"])
        assert await streams.cut(lambda _: Reason.INSUFFICIENT_SCOPE) == 1
        client.send(b"more")
        assert (await client.answer()).status == 403
        await held.settled()
        assert b"more" not in received


async def test_request_that_waits_for_a_connection_is_never_sent() -> None:
    asked: list[Asked] = []

    async def one_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_request(reader))
        writer.write(SSE)
        await reader.read()

    async with plane(one_at_a_time, connections_max=1) as held:
        streams = watched(held)
        first = await held.send(request("/small", token=OTHER_TOKEN))
        await is_begun(first)
        second = await held.send(request())
        await until(lambda: held.target.waiting == 1)
        assert await streams.cut(revoking("key_a")) == 1
        first.reset()
        assert (await second.answer()).status == 401
        assert len(asked) == 1


async def test_gateway_that_stops_says_so_to_a_websocket() -> None:
    async with plane(switching()) as held:
        client = await held.send(upgrade())
        await is_begun(client)
        draining = asyncio.ensure_future(held.listener.drain(0.1))
        assert await client.until_closed() == close_frame(1001, "shutting_down")
        client.close()
        await draining
        assert (await held.outcome()).ended == "cut"


async def test_streams_of_several_listeners_are_one_list() -> None:
    async with plane(once(SSE, then="wait")) as one, plane(once(SSE, then="wait")) as other:
        streams = OpenStreams(SystemClock())
        for held in (one, other):
            streams.watch(held.listener)
            await is_begun(await held.send(request()))
        assert await streams.cut(revoking("key_a")) == 2
        for held in (one, other):
            await held.settled()


async def test_many_streams_are_cut_over_several_turns_of_the_loop() -> None:
    async with plane(once(SSE + EVENT, then="wait"), connections_max=200) as held:
        streams = watched(held)
        clients = [await held.send(request()) for _ in range(150)]
        for client in clients:
            await is_begun(client, EVENT)
        last = next(stream.exchange for stream in list(streams._open())[::-1])
        cutting = asyncio.ensure_future(streams.cut(revoking("key_a")))
        await asyncio.sleep(0)
        assert not last.finished.is_set  # others had their turn
        last.client_gone()  # and this stream ended by itself
        assert await cutting == 149
        assert list(streams._open()) == []
        for client in clients:
            client.reset()
        await held.settled()
