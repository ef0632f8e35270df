"""Server-sent events and long polls: nothing is held back, nothing is added, and either end ends both."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.denial import Reason
from gateway.domain.routes import Route
from gateway.domain.timeouts import Timeouts
from tests.harness import plane, request
from tests.wire import OK, Asked, Backend, Client, read_request, reset, until

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = HEAD + b"\r\n"


class Feed:
    """A backend that sends what a test puts; None ends the stream, an exception resets it."""

    def __init__(self, head: bytes = CHUNKED) -> None:
        self.head = head
        self.asked: list[Asked] = []
        self.is_left = False
        self.events = asyncio.Queue[bytes | Exception | None]()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await read_request(reader))
        writer.write(self.head)
        sending = asyncio.ensure_future(self._send(writer))
        await reader.read()
        self.is_left = True
        sending.cancel()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        is_chunked = b"chunked" in self.head
        while isinstance(event := await self.events.get(), bytes):
            writer.write(chunked(event) if is_chunked else event)
        if event is not None:
            await asyncio.sleep(0.05)  # so that what was written arrives before the reset
            reset(writer)
        elif is_chunked:
            writer.write(b"0\r\n\r\n")
        else:
            writer.write_eof()


def chunked(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


async def subscribed(client: Client) -> bytes:
    async with asyncio.timeout(5):
        return await client.reader.readuntil(b"\r\n\r\n")


async def heard(client: Client, event: bytes) -> bool:
    expected = chunked(event)
    async with asyncio.timeout(5):
        return await client.reader.readexactly(len(expected)) == expected


async def test_head_comes_before_any_event() -> None:
    async with plane(feed := Feed()) as held:
        client = await held.send(request(close=False))
        assert (await subscribed(client)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert feed.events.empty()
        client.reset()
        await held.outcome()


@pytest.mark.parametrize("head", [CHUNKED, UNTIL_CLOSE], ids=["chunked", "until-close"])
async def test_every_event_and_heartbeat_passes_alone_and_unchanged(head: bytes) -> None:
    events = [
        b"id: 1\ndata: a\n\n",
        b": heartbeat\n\n",
        b"\n",
        "data: ÿ\n\n".encode(),
        b"retry: 9\n\n",
    ]
    async with plane(feed := Feed(head)) as held:
        client = await held.send(request(close=False))
        await subscribed(client)
        for event in events:
            feed.events.put_nowait(event)
            assert await heard(client, event)
        feed.events.put_nowait(None)
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"
        outcome = await held.outcome()
        assert (outcome.ended, outcome.response_bytes) == ("complete", len(b"".join(events)))


async def test_nothing_is_added_that_buffers_or_encodes() -> None:
    async with plane(Feed(), rate_headers=()) as held:
        client = await held.send(request(fields=["Accept-Encoding: gzip, br"], close=False))
        lines = (await subscribed(client)).lower().split(b"\r\n")
        names = {line.partition(b":")[0] for line in lines[1:] if line}
        assert names == {
            *(b"content-type", b"cache-control", b"transfer-encoding"),
            *(b"x-request-id", b"date"),
        }
        assert b"cache-control: no-cache" in lines
        client.reset()
        await held.outcome()


async def test_client_that_comes_back_tells_the_upstream_what_it_heard_last() -> None:
    async with plane(feed := Feed()) as held:
        fields = ["Accept: text/event-stream", "Last-Event-ID: 41", "Cache-Control: no-cache"]
        client = await held.send(request(fields=fields, close=False))
        await subscribed(client)
        (asked,) = feed.asked
        assert asked.fields["last-event-id"] == "41"
        assert asked.fields["accept"] == "text/event-stream"
        assert asked.fields["cache-control"] == "no-cache"
        client.reset()
        await held.outcome()


@pytest.mark.parametrize("leaves", ["resets", "closes"])
async def test_client_that_leaves_ends_the_upstreams_work_at_once(leaves: str) -> None:
    async with plane(feed := Feed()) as held:
        client = await held.send(request(close=False))
        await subscribed(client)
        client.reset() if leaves == "resets" else client.close()
        await until(lambda: feed.is_left)
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended) == (200, "client_gone")
        await held.settled()


@pytest.mark.parametrize("head", [CHUNKED, HEAD + b"Content-Length: 99\r\n\r\n"])
async def test_feed_that_breaks_is_not_taken_for_one_that_ended(head: bytes) -> None:
    async with plane(feed := Feed(head)) as held:
        client = await held.send(request(close=False))
        await subscribed(client)
        feed.events.put_nowait(b"data: 1\n\n")
        feed.events.put_nowait(ConnectionError())
        assert not (await client.until_closed()).endswith(b"0\r\n\r\n")
        assert (await held.outcome()).ended == "upstream_broke"
        await held.settled()


async def test_heartbeats_keep_a_feed_open_and_silence_ends_it() -> None:
    async with plane(feed := Feed(), timeouts=Timeouts(idle_seconds=1)) as held:
        client = await held.send(request(close=False))
        await subscribed(client)
        for _ in range(13):  # for longer than the feed may be silent
            feed.events.put_nowait(b":\n\n")
            assert await heard(client, b":\n\n")
            await asyncio.sleep(0.1)
        assert await client.until_closed() == b""  # no last chunk
        assert (await held.outcome()).ended == "timeout"
        await held.settled()


def polling(timeouts: Timeouts | None = None) -> list[Route]:
    own = {"up": timeouts} if timeouts else {}
    return [Route(name="poll", pattern="/v1", kind="prefix", upstream="up", timeouts=own)]


def answering_late(seconds: float) -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(seconds)
        writer.write(OK)
        await reader.read()

    return backend


async def test_long_poll_is_answered_within_the_routes_own_timeout() -> None:
    """Longer than the upstream's, longer than every timeout of an idle connection."""
    patient = Timeouts(response_seconds=30, idle_seconds=0.1)
    timeouts = Timeouts(response_seconds=0.1, idle_seconds=0.1)
    async with plane(answering_late(0.6), timeouts=timeouts, table=polling(patient)) as held:
        assert (await held.answer(request())).body == b"hello"


async def test_long_poll_past_its_timeout_is_refused_not_dropped() -> None:
    timeouts = Timeouts(response_seconds=0.1)
    async with plane(answering_late(5), timeouts=timeouts, table=polling()) as held:
        assert (await held.answer(request())).status == 504
        assert (await held.outcome()).reason is Reason.UPSTREAM_TIMEOUT


async def test_client_that_gives_up_a_long_poll_ends_the_upstreams_work() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()
        left.set()

    async with plane(waits) as held:
        client = await held.send(request())
        await asked.wait()
        client.close()
        async with asyncio.timeout(5):
            await left.wait()
        assert (await held.outcome()).ended == "client_gone"
