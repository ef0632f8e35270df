"""The listener: how many connections, who they are from, and how it stops."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.client_address import ClientAddressResolver
from gateway.domain.closing import Closed
from gateway.domain.denial import Reason
from gateway.http1.request_head import HeadLimits
from gateway.limiters.headcount import MemoryHeadcount
from gateway.listeners.patience import FIRST_REQUEST_SECONDS
from gateway.listeners.peer import AddressRules
from gateway.listeners.public import ListenerSettings
from tests.harness import Plane, plane, request
from tests.wire import OK, Asked, Client, answering, keeping, read_request, silent, until

TRUSTED = ["127.0.0.0/8"]


async def refused(held: Plane) -> bool:
    """Tell whether a further connection is closed without a word."""
    client = await held.send(request())
    received = await client.until_closed()
    assert received == b"" or received.startswith(b"HTTP/1.1 200")
    client.close()
    return received == b""


def counted(held: Plane) -> dict[str, int]:
    headcount = held.listener.census.headcount
    assert isinstance(headcount, MemoryHeadcount)
    return headcount.open


# ---- how many


async def test_connections_above_the_maximum_are_closed_at_once() -> None:
    async with plane(answering(OK), settings=ListenerSettings(connections_max=3)) as held:
        clients = [await held.client() for _ in range(3)]
        await until(lambda: held.listener.connections == 3)
        assert await refused(held)
        assert held.listener.refused == 1
        clients[0].close()
        await until(lambda: held.listener.connections == 2)
        assert not await refused(held)
        await held.recorded.first(1)


async def test_connections_of_one_address_are_limited() -> None:
    settings = ListenerSettings(connections_per_address_max=2)
    async with plane(answering(OK), settings=settings) as held:
        clients = [await held.client() for _ in range(2)]
        await until(lambda: held.listener.connections == 2)
        assert await refused(held)
        await until(lambda: held.listener.connections == 2)
        assert await refused(held)
        for client in clients:
            client.close()
        await until(lambda: held.listener.connections == 0)
        assert not await refused(held)
        await until(lambda: not held.listener.connections)
        assert counted(held) == {}


async def test_connections_behind_a_proxy_are_counted_for_the_clients_that_it_names() -> None:
    settings = ListenerSettings(connections_per_address_max=1, proxy_protocol=True)
    async with plane(answering(OK), settings=settings, trusted=TRUSTED) as held:

        async def ask(address: str) -> bytes:
            line = f"PROXY TCP4 {address} 192.0.2.1 1 80\r\n".encode()
            return await held.ask(line + request())

        first = await held.send(b"PROXY TCP4 198.51.100.1 192.0.2.1 1 80\r\n")
        await until(lambda: bool(counted(held)))
        assert (await ask("198.51.100.2")).startswith(b"HTTP/1.1 200")
        assert await ask("198.51.100.1") == b""
        first.close()
        await until(lambda: not held.listener.connections)
        assert (await ask("198.51.100.1")).startswith(b"HTTP/1.1 200")
        await until(lambda: not held.listener.connections)
        assert counted(held) == {}


@pytest.mark.parametrize("proxy_protocol", [True, False])
async def test_unix_socket_is_served_and_its_peers_have_no_address(
    proxy_protocol: bool, tmp_path: Path
) -> None:
    settings = ListenerSettings(proxy_protocol=proxy_protocol, connections_per_address_max=1)
    async with plane(answering(OK), settings=settings, listen_path=tmp_path / "in.sock") as held:
        header = b"PROXY TCP4 198.51.100.7 192.0.2.1 1 80\r\n" if proxy_protocol else b""
        clients = [await held.send(header + request(close=False)) for _ in range(1)]
        if not proxy_protocol:
            clients.append(await held.send(request(close=False)))
        for client in clients:
            assert (await client.answer()).status == 200
        for outcome in await held.recorded.first(len(clients)):
            assert outcome.client_address == ("198.51.100.7" if proxy_protocol else "")


# ---- who


async def test_id_and_address_of_a_declared_proxy_are_believed() -> None:
    seen: list[bytes] = []
    fields = ["X-Request-Id: abc-123_Z", "X-Forwarded-For: 203.0.113.9"]
    async with plane(answering(OK, seen=seen), trusted=TRUSTED) as held:
        answer = await held.answer(request(fields=fields))
        assert answer.fields["x-request-id"] == "abc-123_Z"
        assert b"X-Request-Id: abc-123_Z\r\n" in seen[0]
        assert b"X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n" in seen[0]
        outcome = await held.outcome()
        assert (outcome.request_id, outcome.client_address) == (b"abc-123_Z", "203.0.113.9")
        assert outcome.peer_address == "127.0.0.1"


async def test_id_and_address_of_anybody_else_are_replaced() -> None:
    seen: list[bytes] = []
    fields = ["X-Request-Id: abc-123", "X-Forwarded-For: 203.0.113.9"]
    async with plane(answering(OK, seen=seen)) as held:
        answer = await held.answer(request(fields=fields))
        assert answer.fields["x-request-id"].startswith("req_")
        assert b"abc-123" not in seen[0]
        assert b"203.0.113.9" not in seen[0]
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in seen[0]
        assert (await held.outcome()).client_address == "127.0.0.1"


@pytest.mark.parametrize(
    "fields",
    [
        ["X-Request-Id: a b"],
        ["X-Request-Id: a", "X-Request-Id: b"],
        ["X-Request-Id: " + "a" * 129],
        ["X-Request-Id:"],
        ['X-Request-Id: "}'],
        ["X-Request-Id: \xe9"],
    ],
)
async def test_id_that_is_no_plain_word_is_replaced(fields: list[str]) -> None:
    async with plane(answering(OK), trusted=TRUSTED) as held:
        answer = await held.answer(request(fields=fields))
        assert answer.fields["x-request-id"].startswith("req_")


async def test_each_request_has_an_id_of_its_own() -> None:
    async with plane(answering(OK)) as held:
        await held.ask(request(close=False) * 9 + request())
        assert len({o.request_id for o in await held.recorded.first(10)}) == 10


# ---- how it stops


async def test_drain_closes_idle_connections_and_accepts_none() -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(request(close=False))
        await client.answer()
        [connection] = held.listener._connections
        connection.deadline -= FIRST_REQUEST_SECONDS  # it has been idle for so long
        draining = asyncio.ensure_future(held.listener.drain(60))
        assert await client.until_closed() == b""
        client.close()
        async with asyncio.timeout(20):
            await draining
        with pytest.raises(ConnectionError):
            await held.client()


async def test_drain_answers_a_client_that_asks_again_and_says_close() -> None:
    """Its next request may be on its way: an end between two of them would fail that one."""
    async with plane(answering(OK)) as held:
        client = await held.send(request(close=False))
        assert (await client.answer()).fields.get("connection") != "close"
        draining = asyncio.ensure_future(held.listener.drain(60))
        await asyncio.sleep(0.01)
        client.send(request(close=False))
        got = await client.answer()
        assert (got.status, got.fields["connection"]) == (200, "close")
        assert await client.until_closed() == b""
        client.close()
        async with asyncio.timeout(20):
            await draining


async def test_drain_answers_what_is_in_flight_and_says_close() -> None:
    asked = asyncio.Event()
    answer = asyncio.Event()

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await answer.wait()
        writer.write(OK)
        await reader.read()

    async with plane(waiting) as held:
        client = await held.send(request(close=False))
        await asked.wait()
        draining = asyncio.ensure_future(held.listener.drain(60))
        await asyncio.sleep(0)
        answer.set()
        got = await client.answer()
        assert (got.status, got.fields["connection"]) == (200, "close")
        assert await client.until_closed() == b""
        client.close()
        async with asyncio.timeout(20):
            await draining
        assert (await held.outcome()).ended == "complete"


async def test_drain_closes_a_connection_whose_answer_had_begun_before() -> None:
    more = asyncio.Event()

    async def halfway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await more.wait()
        writer.write(b"world")
        await reader.read()

    async with plane(halfway) as held:
        client = await held.send(request(close=False))
        await client.reader.readuntil(b"hello")
        draining = asyncio.ensure_future(held.listener.drain(60))
        await asyncio.sleep(0)
        more.set()
        assert await client.until_closed() == b"world"
        client.close()
        async with asyncio.timeout(20):
            await draining


@pytest.mark.parametrize("beginning", [b"", b"GET /v1 HTT"])
async def test_drain_waits_for_a_request_that_is_on_its_way(beginning: bytes) -> None:
    async with plane(answering(OK)) as held:
        client = await held.send(beginning)
        await until(lambda: held.listener.connections == 1)
        await asyncio.sleep(0.01)
        draining = asyncio.ensure_future(held.listener.drain(60))
        await asyncio.sleep(0.01)
        client.send(request(close=False)[len(beginning) :] if beginning else request(close=False))
        got = await client.answer()
        assert got.fields["connection"] == "close"
        client.close()
        await draining


@pytest.mark.parametrize("asked", [b"", request(close=False)])
async def test_drain_does_not_wait_long_for_a_connection_that_sends_nothing(asked: bytes) -> None:
    async with plane(answering(OK)) as held:
        client = await held.client()
        await until(lambda: held.listener.connections == 1)
        if asked:
            client.send(asked)
            await client.answer()
        [connection] = held.listener._connections
        started = asyncio.get_running_loop().time()
        draining = asyncio.ensure_future(held.listener.drain(60))
        assert await client.until_closed() == b""
        client.close()
        await draining
        assert asyncio.get_running_loop().time() - started < 2.5
        assert connection.cause is Closed.DRAIN


async def test_drain_deadline_answers_503_where_nothing_was_answered_yet() -> None:
    async with plane(silent) as held:
        client = await held.send(request(close=False))
        await until(lambda: held.target.connections == 1)
        draining = asyncio.ensure_future(held.listener.drain(0.1))
        got = await client.answer()
        assert (got.status, got.fields["connection"]) == (503, "close")
        assert await client.until_closed() == b""
        client.close()
        await draining
        outcome = await held.outcome()
        assert (outcome.status, outcome.reason) == (503, Reason.SHUTTING_DOWN)
        assert held.listener.connections == held.target.connections == 0


async def test_drain_deadline_cuts_an_answer_that_has_begun() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()

    async with plane(endless) as held:
        client = await held.send(request(close=False))
        await client.reader.readuntil(b"hello\r\n")
        await held.listener.drain(0.1)
        assert not (await client.until_closed()).endswith(b"0\r\n\r\n")
        outcome = await held.outcome()
        assert (outcome.status, outcome.ended, outcome.response_bytes) == (200, "cut", 5)


async def test_drain_deadline_cuts_clients_that_do_not_read() -> None:
    body = b"x" * (16 * 2**20)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with plane(answering(response)) as held:
        client = await held.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(request(close=False))
        await until(lambda: held.listener.in_flight == 1)
        await held.listener.drain(0.1)
        assert held.listener.connections == 0
        assert (await held.outcome()).ended == "cut"


async def test_stopping_while_a_connection_is_made_ends_the_request() -> None:
    """The story waits for a future that will never be: it must hear so, and be recorded."""
    asked: list[Asked] = []
    async with plane(keeping(asked, []), connections_max=1) as held:
        busy = await held.send(request())
        await until(lambda: bool(asked))
        waiting = await held.send(request(close=False))
        await until(lambda: held.target.waiting == 1)
        held.service.close()
        await held.dialer.close()
        answer = await waiting.answer()
        assert answer.status == 503
        assert (await busy.answer()).status == 503
        outcomes = await held.recorded.first(2)
        assert {outcome.reason for outcome in outcomes} == {Reason.SHUTTING_DOWN}


async def test_stopping_breaks_off_the_answers_that_have_begun() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()

    async with plane(endless) as held:
        client = await held.send(request())
        await client.reader.readuntil(b"hello\r\n")
        held.service.close()
        assert await client.until_closed() == b""
        assert (await held.outcome()).ended == "cut"


async def test_drain_gives_up_on_a_client_that_does_not_take_its_last_answer() -> None:
    async with plane(silent) as held:
        client = await held.client()
        small = await held.send(request(close=False))
        await until(lambda: held.target.connections == 1)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        small.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await held.listener.drain(0.1)
        assert held.listener.connections == 0
        assert (await held.outcome()).status == 503


# ---- what it costs


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
async def test_idle_connection_costs_at_most_12_kilobytes() -> None:
    count = 2000
    async with plane(answering(OK)) as held:
        sockets = [await raw_client(held) for _ in range(100)]
        gc.collect()
        before, opened = resident_bytes(), held.listener.connections
        sockets += [await raw_client(held) for _ in range(count)]
        gc.collect()
        used = (resident_bytes() - before) / (held.listener.connections - opened)
        assert used < 12 * 1024
        for client in sockets:
            client.close()


async def raw_client(held: Plane) -> Client:
    client = await held.send(request(close=False))
    held.clients.remove(client)
    assert (await client.answer()).status == 200
    return client


async def test_changed_limits_and_addresses_count_for_open_connections() -> None:
    async with plane(answering(OK), trusted=TRUSTED) as held:
        client = await held.client()
        client.send(
            request("/open", token=None, fields=["X-Forwarded-For: 192.0.2.1"], close=False)
        )
        assert (await client.answer()).status == 200
        held.listener.follow(
            replace(held.listener.settings, head_limits=HeadLimits(target_bytes_max=64)),
            AddressRules(resolver=ClientAddressResolver(None)),
        )
        client.send(
            request("/open", token=None, fields=["X-Forwarded-For: 192.0.2.1"], close=False)
        )
        assert (await client.answer()).status == 200
        client.send(request("/open/" + "x" * 64, token=None, close=False))
        assert (await client.answer()).status == 414
        found = [outcome.client_address for outcome in await held.recorded.first(3)]
        assert found == ["192.0.2.1", "127.0.0.1", "127.0.0.1"]
        client.close()


async def test_whose_trace_goes_on_may_change_for_an_open_connection() -> None:
    seen: list[bytes] = []
    sent = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    async with plane(answering(OK, seen=seen)) as held:
        client = await held.client()
        for traces_from in ("everybody", "proxies"):
            held.listener.follow(
                held.listener.settings,
                AddressRules(resolver=ClientAddressResolver(), traces_from=traces_from),
            )
            client.send(request(fields=[sent.decode().strip(), "tracestate: a=1"], close=False))
            assert (await client.answer()).status == 200
        kept, begun = seen
        assert sent in kept
        assert b"tracestate: a=1\r\n" in kept
        assert b"4bf92f3577b34da6" not in begun
        assert b"tracestate" not in begun
        assert begun.count(b"\r\ntraceparent: 00-") == 1
        client.close()
