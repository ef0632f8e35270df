"""What waits on a socket beside its transport, under both event loops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from gateway.outbox import Outbox
from gateway.upstreams.unread import Unread
from tests.streams import FakeTransport
from tests.uncorked import uncorked

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


class Ending(asyncio.Protocol):
    """Takes what waits when its connection is lost."""

    def __init__(self) -> None:
        self.left = b""
        self.error: Exception | None = None
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.unread = Unread(Outbox(asyncio.get_running_loop()).cork(transport))

    def connection_lost(self, error: Exception | None) -> None:
        self.left = self.unread.take()
        self.error = error
        self.is_lost = True


async def connected() -> tuple[Ending, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(Ending, *server.getsockname())
        return protocol, server.accept()[0]


@pytest.mark.parametrize("new_loop", LOOPS)
@pytest.mark.parametrize("size", [5, 30_000])
def test_what_came_before_a_reset_is_there_when_a_write_has_failed(
    new_loop: Callable[[], asyncio.AbstractEventLoop], size: int
) -> None:
    async def scene() -> None:
        protocol, peer = await connected()
        protocol.transport.pause_reading()  # as if the loop had not come to it yet
        protocol.transport.write(b"never read")
        await asyncio.sleep(0)
        peer.settimeout(5)
        peer.sendall(b"x" * size)
        peer.close()  # with bytes unread: a reset
        while not protocol.is_lost:
            protocol.transport.write(b"more")
            await asyncio.sleep(0)
        assert protocol.error is not None
        assert protocol.left == b"x" * size

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_bytes_and_the_end_are_seen_before_the_loop_tells_of_them(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scene() -> None:
        for data in (b"x", b""):
            protocol, peer = await connected()
            with peer:
                assert not protocol.unread.is_any()
                if data:
                    peer.sendall(data)
                else:
                    peer.shutdown(socket.SHUT_WR)
                assert protocol.unread.is_any()
                protocol.transport.abort()
                while not protocol.is_lost:  # noqa: ASYNC110 - protocols have no event to wait for
                    await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scene())


def test_nothing_is_seen_without_a_socket() -> None:
    unread = Unread(uncorked().cork(FakeTransport()))
    assert not unread.is_any()
    assert unread.take() == b""


def test_encrypted_bytes_are_not_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = FakeTransport()
        transport._extra |= {"socket": ours, "ssl_object": ssl.MemoryBIO()}  # type: ignore[attr-defined]
        unread = Unread(uncorked().cork(transport))
        theirs.sendall(b"x")
        assert unread.is_any()
        assert unread.take() == b""
