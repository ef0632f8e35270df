"""What the kernel tells about a connection, asked over real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from gateway.listeners.kernel import has_left, reset_on_close, unacknowledged_bytes

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        yield ours, client
        ours.close()
        client.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_peer_that_stays_has_not_left(pair: Pair) -> None:
    ours, client = pair
    client.send(b"unread")
    assert not has_left(ours, is_half_open=False)
    assert not has_left(ours, is_half_open=True)


def test_end_is_seen_behind_bytes_that_were_not_read(pair: Pair) -> None:
    ours, client = pair
    client.send(b"unread")
    client.shutdown(socket.SHUT_WR)
    assert has_left(ours, is_half_open=False)
    assert not has_left(ours, is_half_open=True)
    assert ours.recv(100) == b"unread"


def test_reset_is_seen_behind_bytes_that_were_not_read(pair: Pair) -> None:
    ours, client = pair
    client.send(b"unread")
    reset(client)
    assert has_left(ours, is_half_open=True)


def test_bytes_that_the_peers_kernel_has_not_taken_are_counted(pair: Pair) -> None:
    ours, client = pair
    ours.setblocking(False)
    sent = 0
    try:
        while True:
            sent += ours.send(b"x" * 65536)
    except BlockingIOError:
        pass
    before = unacknowledged_bytes(ours)
    assert 0 < before < sent
    read = 0
    while read < sent - 1000:
        read += len(client.recv(65536))
    assert unacknowledged_bytes(ours) < before


def test_a_socket_that_is_gone_tells_nothing(pair: Pair) -> None:
    ours, _ = pair
    ours.close()
    for sock in (ours, None):
        assert unacknowledged_bytes(sock) == 0
        assert not has_left(sock, is_half_open=False)
    reset_on_close(None)


def test_a_file_that_is_no_socket_has_nothing_unacknowledged() -> None:
    with open("/dev/null", "rb") as file:  # noqa: PTH123 - a descriptor is all that matters
        assert unacknowledged_bytes(file) == 0


def test_reset_on_close_is_seen_as_a_reset(pair: Pair) -> None:
    ours, client = pair
    reset_on_close(ours)
    ours.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
