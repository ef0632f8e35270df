"""Upstreams over TLS: every byte both ways, whole or seen not to be, and no more memory than over TCP."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.upstreams.target import Address
from gateway.upstreams.tls import TlsSettings, client_context
from gateway.upstreams.tls_connection import WRITE_BUFFER_BYTES_MAX, TlsConnection
from tests.certificates import Issued, authority, issue, server_context, trust
from tests.harness import Plane, Tls, plane, request
from tests.wire import (
    OK,
    Backend,
    answering,
    echo,
    once,
    read_content,
    read_request,
    silent,
    until,
)

NAME = "backend.test"
UPGRADE = request(fields=["Connection: upgrade", "Upgrade: websocket"], close=False)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class Pki:
    """An authority, a certificate of the backend and one of the gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = authority()
        self.trusted = trust(folder, self.ca)
        self.server = issue(folder, self.ca, NAME)
        self.gateway = issue(folder, self.ca, "gateway.test", file="gateway")

    def tls(
        self,
        server: ssl.SSLContext | None = None,
        client: ssl.SSLContext | None = None,
        server_name: str = NAME,
    ) -> Tls:
        return Tls(
            server or server_context(self.server, alpn=["http/1.1"]),
            client or client_context(TlsSettings(ca=self.trusted)),
            server_name,
        )

    def issued(self, *names: str, days: float = 90) -> Issued:
        return issue(self.folder, self.ca, *names, file="other", valid_days=days)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@contextmanager
def blocking(serve: Callable[[ssl.SSLSocket], None], context: ssl.SSLContext) -> Iterator[int]:
    """Serve one connection in a thread, for endings that `asyncio` cannot make; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            raw, _ = listening.accept()
            raw.settimeout(10)
            with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as made:
                try:
                    made.do_handshake()
                except ssl.SSLError:
                    # OpenSSL has told the client why. To close with bytes unread would reset the connection before
                    # the client reads it.
                    made.shutdown(socket.SHUT_WR)
                    while socket.socket.recv(made, 65536):
                        pass
                else:
                    serve(made)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(15)
            assert not thread.is_alive()


def close_notify(connection: ssl.SSLSocket) -> None:
    """Announce the end and do not wait for the answer, as nginx and Go do."""
    connection.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        connection.unwrap()


@asynccontextmanager
async def in_front_of(
    serve: Callable[[ssl.SSLSocket], None],
    pki: Pki,
    server: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
    listen_path: Path | None = None,
) -> AsyncIterator[Plane]:
    """Run a data plane in front of a server that serves one connection."""
    tls = pki.tls(server, client)
    with blocking(serve, tls.server) as port:
        address = Address(host="127.0.0.1", port=port, tls=tls.client, server_name=NAME)
        async with plane(addresses=[address], listen_path=listen_path) as held:
            yield held


def refusing(_: ssl.SSLSocket) -> None:
    raise AssertionError("the handshake should have failed")


@asynccontextmanager
async def without_tls(backend: Backend, pki: Pki, timeouts: Timeouts) -> AsyncIterator[Plane]:
    """Speak TLS to a backend that does not."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await backend(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address = Address(host="127.0.0.1", port=port, tls=pki.tls().client, server_name=NAME)
        async with plane(addresses=[address], timeouts=timeouts) as held:
            yield held


# ---- requests


async def test_requests_share_a_connection_over_tls(pki: Pki) -> None:
    async with plane(answering(OK), tls=pki.tls()) as held:
        client = await held.client()
        for _ in range(3):
            client.send(request(close=False))
            assert (await client.answer()).body == b"hello"
        assert held.target.connections == held.target.idle_connections == 1


async def test_the_name_is_sent_as_sni_and_http_1_is_offered(pki: Pki) -> None:
    asked: list[str | None] = []
    server = server_context(pki.server, alpn=["h2", "http/1.1"])
    server.sni_callback = lambda tls, name, context: asked.append(name)

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(chosen) + chosen)

    async with plane(backend, tls=pki.tls(server)) as held:
        answer = await held.answer(request())
        assert answer.body == b"http/1.1"
        assert asked == [NAME]


async def test_gateway_presents_its_certificate(pki: Pki) -> None:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        assert writer.get_extra_info("peercert")["subjectAltName"] == (("DNS", "gateway.test"),)
        writer.write(OK)

    client = client_context(
        TlsSettings(ca=pki.trusted, certificate=pki.gateway.certificate, key=pki.gateway.key)
    )
    server = server_context(pki.server, clients=pki.ca)
    async with plane(backend, tls=pki.tls(server, client)) as held:
        assert (await held.answer(request())).status == 200


# ---- refusals: 502, and the cause in the log only


async def refused(held: Plane) -> str:
    """Return what the log says about a request that got 502, and see that the client learns nothing of it."""
    answer = await held.answer(request())
    outcome = await held.outcome()
    assert (answer.status, outcome.reason) == (502, Reason.UPSTREAM_UNREACHABLE)
    for secret in (b"certificate", b"TLS", b"127.0.0.1", NAME.encode()):
        assert secret not in answer.head + answer.body
    return outcome.detail


async def test_certificate_of_an_unknown_authority_is_refused(pki: Pki, tmp_path: Path) -> None:
    other = trust(tmp_path, authority("Other"), "other.pem")
    async with plane(silent, tls=pki.tls(client=client_context(TlsSettings(ca=other)))) as held:
        assert "its certificate is refused: unable to get local issuer" in await refused(held)


async def test_public_authorities_do_not_vouch_for_a_private_one(pki: Pki) -> None:
    async with plane(silent, tls=pki.tls(client=client_context(TlsSettings()))) as held:
        assert "its certificate is refused: " in await refused(held)


async def test_certificate_of_another_name_is_refused(pki: Pki) -> None:
    async with plane(silent, tls=pki.tls(server_name="other.test")) as held:
        assert "Hostname mismatch, certificate is not valid for 'other.test'" in await refused(held)


async def test_without_a_server_name_the_address_must_be_in_the_certificate(pki: Pki) -> None:
    async with plane(silent, tls=pki.tls(server_name="")) as held:
        assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in await refused(
            held
        )
    fitting = server_context(pki.issued("127.0.0.1"))
    async with plane(answering(OK), tls=pki.tls(fitting, server_name="")) as held:
        assert (await held.answer(request())).status == 200


async def test_expired_certificate_is_refused(pki: Pki) -> None:
    expired = server_context(pki.issued(NAME, days=-1))
    async with plane(silent, tls=pki.tls(expired)) as held:
        assert "its certificate is refused: certificate has expired" in await refused(held)


async def test_certificate_is_not_looked_at_only_when_told_so(pki: Pki, tmp_path: Path) -> None:
    blind = client_context(TlsSettings(is_verifying=False))
    expired = server_context(pki.issued("nobody.test", days=-1))
    async with plane(answering(OK), tls=pki.tls(expired, blind)) as held:
        assert (await held.answer(request())).status == 200


async def test_missing_certificate_of_ours_is_told_as_such(pki: Pki) -> None:
    # In TLS 1.3 the upstream refuses us only after the handshake, as far as we see, has succeeded.
    async with in_front_of(refusing, pki, server_context(pki.server, clients=pki.ca)) as held:
        assert "it demands a certificate: set `tls.certificate`" in await refused(held)


async def test_old_tls_is_refused(pki: Pki) -> None:
    old = server_context(pki.server)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    strict = client_context(TlsSettings(ca=pki.trusted, minimum_version=ssl.TLSVersion.TLSv1_3))
    async with plane(answering(OK), tls=pki.tls(old)) as held:
        assert (await held.answer(request())).status == 200
    async with in_front_of(refusing, pki, old, strict) as held:
        assert "TLS: tlsv1 alert protocol version" in await refused(held)


async def test_upstream_without_tls_is_told_as_such(pki: Pki) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with without_tls(plain, pki, Timeouts()) as held:
        assert "what it speaks is not TLS" in await refused(held)


async def test_upstream_that_hangs_up_on_the_handshake_is_unreachable(pki: Pki) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)

    async with without_tls(rude, pki, Timeouts()) as held:
        assert "the connection ended during the TLS handshake" in await refused(held)


async def test_handshake_that_is_never_answered_is_a_timeout(pki: Pki) -> None:
    async with without_tls(silent, pki, Timeouts(connect_seconds=0.2)) as held:
        assert (await held.answer(request())).status == 504
        assert held.target.connections == 0


# ---- the end of a message


def answers(
    body: bytes, fields: bytes, end: Callable[[ssl.SSLSocket], None]
) -> Callable[[ssl.SSLSocket], None]:
    """Return what answers one request and ends the connection by `end`."""

    def serve(connection: ssl.SSLSocket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body)
        end(connection)

    return serve


def cut(_: ssl.SSLSocket) -> None:
    """Close the TCP connection without a word, as somebody on the way can."""


async def test_end_that_was_announced_ends_a_body_without_length(pki: Pki) -> None:
    async with in_front_of(answers(b"whole", b"", close_notify), pki) as held:
        assert (await held.answer(request())).body == b"whole"
        assert (await held.outcome()).ended == "complete"


async def test_end_that_was_not_announced_is_a_truncation(pki: Pki) -> None:
    async with in_front_of(answers(b"part", b"", cut), pki) as held:
        client = await held.send(request())
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.answer()
        assert (await held.outcome()).ended == "upstream_broke"


async def test_whole_body_needs_no_announcement(pki: Pki) -> None:
    async with in_front_of(answers(b"whole", b"Content-Length: 5\r\n", cut), pki) as held:
        assert (await held.answer(request())).body == b"whole"
        assert (await held.outcome()).ended == "complete"


async def test_end_before_an_answer_is_told_with_its_cause(pki: Pki) -> None:
    def leave(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)

    async with in_front_of(leave, pki) as held:
        assert "connection cut without TLS closure before a response" in await refused(held)


async def test_client_that_reads_slowly_gets_all_that_was_sent_before_the_end(
    pki: Pki, tmp_path: Path
) -> None:
    # The event loop's transport drops what it has received if the connection ends while reading is paused.
    body = bytes(range(256)) * 3000
    is_sent = threading.Event()

    def end(connection: ssl.SSLSocket) -> None:
        close_notify(connection)
        is_sent.set()

    path = (
        tmp_path / "public.sock"
    )  # its buffers are small, so that the gateway soon has to wait for the client
    async with in_front_of(answers(body, b"", end), pki, listen_path=path) as held:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(request())
            await until(is_sent.is_set)
            client.setblocking(False)
            received = b""
            async with asyncio.timeout(20):
                while piece := await asyncio.get_running_loop().sock_recv(client, 65536):
                    received += piece
        outcome = await held.outcome()
        assert (outcome.ended, outcome.response_bytes) == ("complete", len(body))
        assert received.endswith(b"\r\n0\r\n\r\n")


async def test_idle_connection_that_ended_is_not_used_again(pki: Pki) -> None:
    async with plane(once(OK), once(OK), tls=pki.tls()) as held:
        assert (await held.answer(request())).status == 200
        await until(lambda: not held.target.idle_connections)
        assert (await held.answer(request())).status == 200


# ---- flow control


async def test_bodies_cross_unchanged_both_ways(pki: Pki) -> None:
    body = bytes(range(256)) * 20_000
    async with plane(echo, tls=pki.tls()) as held:
        answer = await held.answer(request(method="POST", body=body))
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


async def test_upstream_that_does_not_read_stops_the_client(pki: Pki) -> None:
    reading = asyncio.Event()
    total = 48 * 2**20

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        await reading.wait()
        assert len(await read_content(reader, asked)) == total
        writer.write(OK)
        await writer.drain()

    async with plane(backend, tls=pki.tls()) as held:
        client = await held.send(request(method="POST", body=bytes(total)))
        await stands_still(client.writer.transport.get_write_buffer_size)
        # What is not unsent is in buffers of the kernel and, bounded, in the gateway.
        assert client.writer.transport.get_write_buffer_size() > total // 2
        (connection,) = held.target._open
        unread = connection._transport.get_write_buffer_size()
        assert WRITE_BUFFER_BYTES_MAX <= unread < 2**19  # the transport's own limit
        reading.set()
        assert (await client.answer()).status == 200


async def stands_still(size: Callable[[], int]) -> None:
    """Return once `size` has not changed for a while."""
    async with asyncio.timeout(20):
        before, same = size(), 0
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if before == size() else 0
            before = size()


# ---- tunnels


async def test_tunnel_passes_every_byte_both_ways(pki: Pki) -> None:
    async with plane(switching(shout), tls=pki.tls()) as held:
        client = await held.send(UPGRADE)
        await client.reader.readuntil(b"\r\n\r\n")
        for word in (b"a", b"\x00\xff" * 200_000):
            client.send(word)
            assert await client.reader.readexactly(len(word)) == word.upper()
        client.close()
        assert (await held.outcome()).ended == "complete"
        await held.settled()


async def test_upstream_that_ends_a_tunnel_ends_both_directions(pki: Pki) -> None:
    async def bye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        await writer.drain()

    async with plane(switching(bye), tls=pki.tls()) as held:
        client = await held.send(UPGRADE)
        assert (await client.until_closed()).endswith(b"\r\n\r\nbye")
        assert (
            await held.outcome()
        ).ended == "complete"  # without the client's end: it would lead nowhere
        client.close()
        await held.settled()


async def test_what_is_under_way_still_reaches_a_client_that_ended_its_direction(pki: Pki) -> None:
    asked = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked.wait()
        writer.write(b"late")
        await writer.drain()

    async with plane(switching(late), tls=pki.tls()) as held:
        client = await held.send(UPGRADE)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write_eof()
        await until(lambda: all(is_lingering(connection) for connection in held.target._open))
        asked.set()
        assert await client.until_closed() == b"late"
        assert (await held.outcome()).ended == "complete"


async def test_tunnel_whose_client_ended_does_not_stay(pki: Pki) -> None:
    async with plane(switching(silent), tls=pki.tls()) as held:
        client = await held.send(UPGRADE)
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write_eof()
        assert await client.until_closed() == b""
        assert (await held.outcome()).ended == "complete"
        await held.settled()


def is_lingering(connection: object) -> bool:
    assert isinstance(connection, TlsConnection)
    return connection._is_lingering


def switching(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> Backend:
    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(SWITCHING)
        await talk(reader, writer)

    return backend


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data.upper())
