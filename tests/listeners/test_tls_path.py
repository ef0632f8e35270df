"""TLS on connections: the data path, and how connections and tunnels end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import ssl

import pytest
import trustme

from gateway.listeners.certificates import HandshakeRules, Terms, read_certificate
from gateway.listeners.tls import TlsConnection
from tests.certificates import Issued, authority, client_context, issue
from tests.harness import Plane, plane, post, request
from tests.raw_tls import RawTls
from tests.wire import OK, Asked, answering, keeping, once, read_request, until

MIB = 2**20


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return authority()


@pytest.fixture(scope="module")
def files(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("tls"), ca, "api.test", file="api.test")


@pytest.fixture
def client(ca: trustme.CA) -> ssl.SSLContext:
    return client_context(ca)


@pytest.fixture
def terms(files: Issued) -> Terms:
    return made(files)


def made(*files: Issued, rules: HandshakeRules | None = None) -> Terms:
    rules = rules or HandshakeRules()
    return Terms([read_certificate(each.certificate, each.key, rules) for each in files], rules)


# ---- how connections end


async def test_an_ordinary_end_is_said_by_both_sides(terms: Terms, client: ssl.SSLContext) -> None:
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(request(close=False))
        await raw.until(b"hello")
        raw.say_end()
        assert await raw.until_end() == (b"", "close_notify")
        assert await raw.reader.read() == b""  # and the socket is closed behind it
        await held.settled()


async def test_an_http_10_body_of_unknown_length_ends_with_a_close_notify(
    terms: Terms, client: ssl.SSLContext
) -> None:
    whole = once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    async with plane(whole, terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer, end = await raw.until_end()
        assert answer.endswith(b"\r\n\r\nabc")
        assert end == "close_notify"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_broken_answer_never_ends_with_a_close_notify(
    terms: Terms, client: ssl.SSLContext, version: str, then: str
) -> None:
    broken = once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", then=then)
    async with plane(broken, terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(request().replace(b"HTTP/1.1", version.encode()))
        answer, end = await raw.until_end()
        assert end == ("reset" if version == "HTTP/1.0" else "eof")
        assert not answer.endswith(b"0\r\n\r\n")
        await held.settled()


async def test_a_client_that_leaves_without_a_word_amid_its_body_is_gone(
    terms: Terms, client: ssl.SSLContext
) -> None:
    asked: list[Asked] = []
    received: list[bytes] = []
    async with plane(keeping(asked, received), terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(post("Content-Length: 100", body=b"half"))
        await until(lambda: bool(received))
        raw.writer.write_eof()
        assert (await held.outcome()).ended == "client_gone"
        await held.settled()


async def test_a_broken_record_ends_the_connection(terms: Terms, client: ssl.SSLContext) -> None:
    received: list[bytes] = []
    async with plane(keeping([], received), terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(post("Content-Length: 100", body=b"half"))
        await until(lambda: bool(received))
        raw.writer.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            await raw.until_end()
        assert (await held.outcome()).ended == "client_gone"
        await held.settled()


# ---- tunnels

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


async def tunnelled(held: Plane, client: ssl.SSLContext) -> RawTls:
    raw = await held.raw_tls(client)
    await raw.shake()
    raw.send(request(fields=UPGRADE, close=False))
    await raw.until(b"\r\n\r\n")
    return raw


async def shouting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Switch protocols, send back in capitals, and say goodbye at the end of what came."""
    await read_request(reader)
    writer.write(SWITCHED)
    while data := await reader.read(65536):
        writer.write(data.upper())
    writer.write(b"bye")
    await writer.drain()


async def leaving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Switch protocols, end at once, and go on listening."""
    await read_request(reader)
    writer.write(SWITCHED + b"only this")
    writer.write_eof()
    heard.append(await reader.read())


heard: list[bytes] = []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_each_direction_of_a_tunnel_ends_by_itself(
    terms: Terms, client: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client.minimum_version = client.maximum_version = version
    async with plane(shouting, terms=terms) as held:
        raw = await tunnelled(held, client)
        raw.send(b"hello")
        assert await raw.until(b"HELLO") == b"HELLO"
        raw.say_end()
        assert await raw.until_end() == (b"bye", "close_notify")
        assert (await held.outcome()).ended == "complete"
        await held.settled()


async def test_a_client_may_go_on_when_the_upstream_has_ended(
    terms: Terms, client: ssl.SSLContext
) -> None:
    heard.clear()
    async with plane(leaving, terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(request(fields=UPGRADE, close=False))
        answer, end = await raw.until_end()
        assert answer.endswith(b"\r\n\r\nonly this")
        assert end == "close_notify"
        for _ in range(3):
            raw.send(b"x" * 100_000)
            await raw.writer.drain()
        raw.say_end()
        await until(lambda: bool(heard))
        assert heard == [b"x" * 300_000]
        await held.settled()


async def test_a_tunnel_whose_client_vanishes_is_broken_off(
    terms: Terms, client: ssl.SSLContext
) -> None:
    async with plane(shouting, terms=terms) as held:
        raw = await tunnelled(held, client)
        raw.writer.write_eof()  # without a close_notify: it may have been cut short on the way
        await raw.until_end()
        await held.settled()


# ---- flow control


async def test_a_client_that_does_not_read_holds_the_upstream_back(
    terms: Terms, client: ssl.SSLContext
) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * MIB))
        while sent < 200 * MIB:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with plane(endless, terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(request())
        await raw.until(b"x" * 1000)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)  # until nothing moves any more
        assert sent < 40 * MIB
        held.clients[-1].reset()
        await held.settled()


async def test_an_upstream_that_does_not_read_holds_the_client_back(
    terms: Terms, client: ssl.SSLContext
) -> None:
    left = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await left.wait()

    async with plane(deaf, terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        raw.send(post(f"Content-Length: {200 * MIB}"))
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 * MIB:
                raw.send(b"x" * 65536)
                async with asyncio.timeout(0.5):
                    await raw.writer.drain()
                sent += 65536
        assert sent < 40 * MIB
        left.set()
        held.clients[-1].reset()
        await held.settled()


@pytest.mark.slow
async def test_long_bodies_cross_byte_for_byte_in_both_directions_with_flat_memory(
    terms: Terms, client: ssl.SSLContext
) -> None:
    size = 100 * MIB
    block = bytes(range(256)) * 257  # no divisor of a record's length

    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size
        while left:
            data = await reader.read(65536)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    async def upload(writer: asyncio.StreamWriter) -> None:
        left = size
        while left:
            data = block[: min(left, len(block))]
            writer.write(data)
            await writer.drain()
            left -= len(data)

    async with plane(mirror, terms=terms) as held:
        connection = await held.client(client)
        connection.send(post(f"Content-Length: {size}"))
        await connection.reader.readuntil(b"\r\n\r\n")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sending = asyncio.ensure_future(upload(connection.writer))
        received = 0
        while received < size:
            data = await connection.reader.read(65536)
            assert data
            at = received % len(block)
            assert (block * 3)[at : at + len(data)] == data
            received += len(data)
        await sending
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 32 * 1024
        assert (await held.outcome()).ended == "complete"


# ---- what is left behind


async def test_a_closed_connection_leaves_no_garbage(terms: Terms, client: ssl.SSLContext) -> None:
    async with plane(answering(OK), terms=terms) as held:
        raw = await held.raw_tls(client)
        await raw.shake()
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(each, TlsConnection) for each in gc.get_objects())
            assert before == 1
            raw.send(request())
            await raw.until_end()
            raw.writer.close()
            await held.settled()
            await until(
                lambda: not any(isinstance(each, TlsConnection) for each in gc.get_objects())
            )
        finally:
            gc.enable()
