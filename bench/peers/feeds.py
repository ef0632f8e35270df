"""An upstream of streams: events that carry the moment of their sending, and WebSockets that count.

`GET /feed` sends an event every 20 ms, its data the clock of the machine (CLOCK_MONOTONIC, one for
all processes) in nanoseconds. `GET /feed/counted` sends one every quarter of a second, its data a number that grows by
one. An upgrade is answered with 101 and then a frame every quarter of a
second, its payload a number that grows by one.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from itertools import count
from typing import Final, cast

import uvloop

EVENT_SECONDS: Final = 0.02
FRAME_SECONDS: Final = 0.25

FEED: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
)
NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Feed(asyncio.Protocol):
    """One connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._request = b""
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._timer is not None:
            return  # what a client says to a stream
        self._request += data
        if not self._request.endswith(b"\r\n\r\n"):
            return
        request, self._request = self._request.lower(), b""
        if b"\r\nupgrade: websocket\r\n" in request:
            self._transport.write(SWITCHING)
            self._frame()
        elif request.startswith(b"get /feed/counted"):
            self._transport.write(FEED)
            self._counted_event()
        elif request.startswith(b"get /feed"):
            self._transport.write(FEED)
            self._event()
        else:
            self._transport.write(NOT_FOUND)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _event(self) -> None:
        self._timer = self._loop.call_later(EVENT_SECONDS, self._event)
        event = b"data: %d\n\n" % time.monotonic_ns()
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _counted_event(self) -> None:
        self._timer = self._loop.call_later(FRAME_SECONDS, self._counted_event)
        event = b"data: %d\n\n" % next(self._numbers)
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))

    def _frame(self) -> None:
        self._timer = self._loop.call_later(FRAME_SECONDS, self._frame)
        self._transport.write(b"\x82\x08" + next(self._numbers).to_bytes(8))


async def serve(port: int) -> None:
    """Serve until the process is told to stop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Feed(loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.peers.feeds", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
