"""A service: which of its targets serves the next request."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.ports import UpstreamFailure
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.service import Dialer, Service
from gateway.upstreams.target import Address
from tests.harness import plane, request
from tests.wire import Backend, answering, deaf_port, silent, until

DEAD = Address(host="127.0.0.1", port=1)


def naming(name: bytes) -> Backend:
    return answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name) + name)


async def test_targets_take_turns() -> None:
    async with plane(naming(b"a"), naming(b"b"), naming(b"c")) as held:
        bodies = [(await held.answer(request())).body for _ in range(9)]
        assert bodies[:3] * 3 == bodies
        assert set(bodies) == {b"a", b"b", b"c"}
        assert len(held.seen) == 3


async def test_dead_target_costs_no_request_and_no_connection() -> None:
    async with plane(naming(b"a"), addresses=[DEAD]) as held:
        for _ in range(10):
            assert (await held.answer(request())).body == b"a"
        assert len(held.seen) == 1
        assert [o.status for o in await held.recorded.first(10)] == [200] * 10


async def test_failure_of_the_last_target_is_told_when_all_are_dead() -> None:
    async with plane(addresses=[DEAD, Address(host="127.0.0.1", port=2)]) as held:
        for _ in range(2):
            assert (await held.answer(request())).status == 502
        assert {o.reason for o in await held.recorded.first(2)} == {Reason.UPSTREAM_UNREACHABLE}


async def test_busy_target_is_passed_over() -> None:
    timeouts = Timeouts(connect_seconds=0.1)
    async with plane(naming(b"b"), silent, connections_max=1, timeouts=timeouts) as held:
        busy = await held.send(request())
        await until(lambda: bool(held.seen))
        free = [await held.answer(request()) for _ in range(2)]
        assert [answer.body for answer in free] == [b"b", b"b"]
        busy.close()


async def test_fresh_connection_is_never_an_idle_one() -> None:
    async with plane(naming(b"a"), naming(b"b")) as held:
        for _ in range(2):
            await held.answer(request())
        idle = held.service.connect()
        assert isinstance(idle, UpstreamConnection)
        result = held.service.connect(fresh=True)
        assert isinstance(result, asyncio.Future)
        fresh = await result
        assert isinstance(fresh, UpstreamConnection)
        assert not fresh.is_reused
        idle.close()
        fresh.close()


@pytest.mark.parametrize("host", [b"", b"internal.test"])
async def test_host_is_the_clients_unless_one_is_set(host: bytes) -> None:
    async with plane(naming(b"a")) as held:
        service = Service("up", held.service.targets, dial=held.dialer, host=host, base_path=b"")
        assert service.host_for(b"api.test") == (host or b"api.test")


async def test_stopping_fails_what_is_being_connected() -> None:
    with deaf_port() as port:
        deaf = Address(host="127.0.0.1", port=port)
        async with plane(addresses=[deaf, deaf], timeouts=Timeouts(connect_seconds=5)) as held:
            client = await held.send(request())
            await until(lambda: held.target.connections + held.service.targets[1].connections == 1)
            held.service.close()
            await held.dialer.close()
            assert (await client.answer()).status == 503
            assert (await held.outcome()).reason is Reason.SHUTTING_DOWN


async def test_dialer_awaits_what_it_cancels() -> None:
    dialer = Dialer()
    ended = asyncio.Event()

    async def attempt() -> UpstreamFailure:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    turn = dialer(attempt())
    await asyncio.sleep(0)
    await dialer.close()
    assert ended.is_set()
    failure = await turn
    assert isinstance(failure, UpstreamFailure)
    assert failure.reason is Reason.SHUTTING_DOWN
