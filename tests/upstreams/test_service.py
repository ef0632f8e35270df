"""A service: which of its targets serves the next request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.domain.affinity import Affinity
from gateway.domain.denial import Reason
from gateway.domain.timeouts import Timeouts
from gateway.ports import UpstreamFailure
from gateway.upstreams.breaker import BreakerRules, BreakerState
from gateway.upstreams.connection import UpstreamConnection
from gateway.upstreams.dialer import Dialer
from gateway.upstreams.health import EjectionRules
from gateway.upstreams.settings import RetryRules, Settings
from gateway.upstreams.target import Address
from tests.harness import Plane, plane, post, request
from tests.wire import OK, Backend, answering, deaf_port, once, read_request, reset, silent, until

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
        result = held.service.reconnect([idle.target])
        assert isinstance(result, asyncio.Future)
        fresh = await result
        assert isinstance(fresh, UpstreamConnection)
        assert not fresh.is_reused
        idle.close()
        fresh.close()


@pytest.mark.parametrize("host", [b"", b"internal.test"])
async def test_host_is_the_clients_unless_one_is_set(host: bytes) -> None:
    async with plane(naming(b"a"), upstream=Settings(host=host)) as held:
        assert held.service.host_for(b"api.test") == (host or b"api.test")


@pytest.mark.pure
async def test_stopping_fails_what_is_being_connected() -> None:
    with deaf_port() as port:
        deaf = [Address(host=host, port=port) for host in ("127.0.0.1", "localhost")]
        async with plane(addresses=deaf, timeouts=Timeouts(connect_seconds=5)) as held:
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


# ---- hosts


async def test_host_may_be_that_of_the_target() -> None:
    def telling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        return answer_host(reader, writer)

    async def answer_host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            host = (await read_request(reader)).fields["host"].encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(host) + host)

    async with plane(telling, telling, upstream=Settings(has_own_host=True)) as held:
        named = {
            replace(target.address, authority=f"{name}.test"): 1
            for name, target in zip("ab", held.service.targets, strict=True)
        }
        held.service.retarget(named)
        bodies = {(await held.answer(request())).body for _ in range(4)}
        assert bodies == {b"a.test", b"b.test"}


# ---- affinity


async def test_requests_of_one_key_stay_together() -> None:
    chosen = Settings(balance="hash", affinity=Affinity(by="header", header=b"x-room"))
    async with plane(naming(b"a"), naming(b"b"), naming(b"c"), upstream=chosen) as held:
        homes: dict[int, set[bytes]] = {room: set() for room in range(12)}
        for room in [*homes, *homes]:
            answer = await held.answer(request(fields=[f"X-Room: {room}"]))
            homes[room].add(answer.body)
        assert {len(bodies) for bodies in homes.values()} == {1}
        assert len(set.union(*homes.values())) > 1


# ---- retries


def dying(seen: list[bytes], *, silently: bool = False) -> Backend:
    """Return a backend that reads a request, and then resets the connection or falls silent."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader)).head)
        if silently:
            await reader.read()
        reset(writer)

    return backend


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_idempotent_request_goes_on_to_another_target(method: str) -> None:
    seen: list[bytes] = []
    async with plane(dying(seen), answering(OK)) as held:
        for _ in range(4):
            assert (await held.answer(request(method=method), method)).status == 200
        assert len(seen) == held.service.retries == 2


@pytest.mark.parametrize("raw", [request(method="POST"), request(method="PUT", body=b"x")])
async def test_request_that_may_have_an_effect_reaches_one_target_only(raw: bytes) -> None:
    seen: list[bytes] = []
    async with plane(dying(seen), dying(seen)) as held:
        assert (await held.answer(raw)).status == 502
        assert len(seen) == 1


async def test_request_is_sent_as_often_as_allowed_and_to_different_targets() -> None:
    seen: list[bytes] = []
    chosen = Settings(retry=RetryRules(attempts=3))
    async with plane(*[dying(seen)] * 5, upstream=chosen) as held:
        assert (await held.answer(request())).status == 502
        assert len(seen) == 3


async def test_retries_may_be_switched_off() -> None:
    seen: list[bytes] = []
    async with plane(
        dying(seen), dying(seen), upstream=Settings(retry=RetryRules(attempts=1))
    ) as held:
        assert (await held.answer(request())).status == 502
        assert len(seen) == 1


async def test_budget_ends_retries_before_they_end_the_service() -> None:
    seen: list[bytes] = []
    chosen = Settings(
        retry=RetryRules(share=0.5, per_second_min=0), ejection=EjectionRules(failures=0)
    )
    async with plane(dying(seen), dying(seen), upstream=chosen) as held:
        for _ in range(20):
            assert (await held.answer(request())).status == 502
        assert len(seen) <= 30
        assert held.service.retries <= 10


@pytest.mark.parametrize(("causes", "status"), [(("reset", "timeout"), 200), (("reset",), 504)])
async def test_silence_is_worth_another_attempt_only_if_that_is_wanted(
    causes: tuple[str, ...], status: int
) -> None:
    chosen = Settings(
        retry=RetryRules(causes=frozenset(causes)), ejection=EjectionRules(failures=0)
    )
    timeouts = Timeouts(response_seconds=0.5)
    async with plane(silent, answering(OK), upstream=chosen, timeouts=timeouts) as held:
        statuses = {(await held.answer(request())).status for _ in range(2)}
        assert statuses == {200, status}


async def test_no_attempt_begins_after_the_total_time() -> None:
    seen: list[bytes] = []
    chosen = Settings(retry=RetryRules(causes=frozenset({"timeout"})))
    timeouts = Timeouts(total_seconds=0.1)
    async with plane(*[dying(seen, silently=True)] * 2, upstream=chosen, timeouts=timeouts) as held:
        assert (await held.answer(request())).status == 504
        assert len(seen) == 1


BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


async def test_status_may_be_dropped_for_another_attempt() -> None:
    chosen = Settings(retry=RetryRules(statuses=frozenset({503}), causes=frozenset({"status"})))
    async with plane(answering(BUSY), answering(OK), upstream=chosen) as held:
        for _ in range(4):
            assert (await held.answer(request())).body == b"hello"
        posted = {(await held.answer(request(method="POST"))).status for _ in range(4)}
        assert posted == {200, 503}


async def test_last_answer_is_passed_on_when_no_attempt_is_left() -> None:
    chosen = Settings(retry=RetryRules(statuses=frozenset({503}), causes=frozenset({"status"})))
    async with plane(answering(BUSY), answering(BUSY), upstream=chosen) as held:
        assert (await held.answer(request())).body == b"busy"


@pytest.mark.pure
async def test_body_is_whole_when_the_connection_had_ended_before_it_was_sent() -> None:
    """The connection ends between the moment it is handed to the request and the moment that takes it."""
    async with plane(once(OK), echo_all) as held:
        stale = await held.service.targets[0].connect()
        assert isinstance(stale, UpstreamConnection)
        turn: asyncio.Future[UpstreamConnection] = asyncio.get_running_loop().create_future()
        held.service.connect = lambda *_: turn  # type: ignore[method-assign,assignment]
        client = await held.send(post("Content-Length: 4", body=b"body"))
        await until(lambda: held.listener.in_flight == 1)
        stale.close()
        turn.set_result(stale)
        assert (await client.answer()).body == b"body"


async def echo_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        asked = await read_request(reader)
        body = await reader.readexactly(int(asked.fields["content-length"]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


# ---- ejection


async def test_target_that_fails_again_and_again_is_left_alone() -> None:
    seen: list[bytes] = []
    rules = EjectionRules(failures=3, seconds=60.0, seconds_max=60.0)
    async with plane(dying(seen), answering(OK), upstream=Settings(ejection=rules)) as held:
        for _ in range(20):
            assert (await held.answer(request())).status == 200
        assert len(seen) == 3
        assert held.service.roster.ejections == 1
        assert held.service.is_up


async def test_status_ejects_only_if_that_is_wanted() -> None:
    rules = EjectionRules(failures=2, statuses=frozenset({503}))
    for ejection, ejections in ((EjectionRules(failures=2), 0), (rules, 1)):
        async with plane(
            answering(BUSY), answering(OK), upstream=Settings(ejection=ejection)
        ) as held:
            for _ in range(10):
                await held.answer(request())
            assert held.service.roster.ejections == ejections


async def test_success_clears_the_failures_before_it() -> None:
    turns = iter([False, True] * 20)

    async def flaky(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            if next(turns):
                writer.write(OK)
            else:
                return

    rules = EjectionRules(failures=2)
    async with plane(flaky, answering(OK), upstream=Settings(ejection=rules)) as held:
        for _ in range(20):
            assert (await held.answer(request())).status == 200
        assert held.service.roster.ejections == 0


async def test_client_that_leaves_is_no_failure_of_the_target() -> None:
    rules = EjectionRules(failures=1)
    heard: list[bytes] = []
    waiting = dying(heard, silently=True)
    async with plane(waiting, waiting, upstream=Settings(ejection=rules)) as held:
        for n in range(4):
            client = await held.send(request())
            await until(lambda n=n: len(heard) > n)  # type: ignore[misc]
            client.close()
        await held.recorded.first(4)
        assert held.service.roster.ejections == 0


# ---- the breaker


BREAKER = BreakerRules(
    error_ratio=0.5, requests_min=4, window_seconds=10.0, open_seconds=30.0, probes=1
)


def breaking(*, open_seconds: float = 30.0) -> Settings:
    return Settings(
        breaker=replace(BREAKER, open_seconds=open_seconds),
        breaker_statuses=frozenset({503}),
        retry=RetryRules(attempts=1),
    )


@pytest.mark.parametrize("backend", [dying([]), answering(BUSY), answering(b"no HTTP\r\n\r\n")])
async def test_failing_upstream_is_left_alone_and_says_for_how_long(backend: Backend) -> None:
    async with plane(backend, upstream=breaking()) as held:
        for _ in range(4):
            assert (await held.answer(request())).status in {502, 503}
        connections = len(held.seen)
        answer = await held.answer(request())
        assert answer.status == 503
        assert 25 < int(answer.fields["retry-after"]) <= 30
        assert len(held.seen) == connections
        assert not held.service.is_up
        assert (await held.recorded.first(5))[-1].reason is Reason.CIRCUIT_OPEN


async def test_unreachable_upstream_opens_its_breaker() -> None:
    async with plane(addresses=[DEAD], upstream=breaking()) as held:
        statuses = [(await held.answer(request())).status for _ in range(6)]
        assert statuses == [502, 502, 502, 502, 503, 503]


async def test_breaker_closes_when_the_upstream_answers_again() -> None:
    is_ill = True

    async def healing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(BUSY if is_ill else OK)

    async with plane(healing, upstream=breaking(open_seconds=0.05)) as held:
        for _ in range(4):
            await held.answer(request())
        breaker = held.service.breaker
        assert breaker is not None
        assert breaker.state is BreakerState.OPEN
        is_ill = False

        opened_at = breaker.since
        await until(lambda: held.target.time() > opened_at + 0.1)
        for _ in range(3):
            assert (await held.answer(request())).status == 200
        assert breaker.since > opened_at


async def test_failed_probe_keeps_the_breaker_open() -> None:
    async with plane(answering(BUSY), upstream=breaking(open_seconds=0.3)) as held:
        breaker = held.service.breaker
        assert breaker is not None
        for _ in range(4):
            await held.answer(request())
        opened_at = breaker.since
        await until(lambda: held.target.time() > opened_at + 0.35)
        assert (await held.answer(request())).body == b"busy"
        assert breaker.since > opened_at
        assert breaker.state is BreakerState.OPEN


async def test_open_breaker_ends_retries() -> None:
    chosen = replace(breaking(), retry=RetryRules(attempts=5))
    async with plane(*[dying([])] * 6, upstream=chosen) as held:
        assert (await held.answer(request())).status == 502
        assert len(held.seen) == 4


# ---- nobody left


async def test_request_is_refused_when_no_target_is_left_and_that_is_wanted() -> None:
    async with plane(answering(OK), upstream=Settings(panic_uses_all=False)) as held:
        held.target.probed(False, "down")
        assert (await held.answer(request())).status == 503
        assert (await held.outcome()).reason is Reason.NO_HEALTHY_UPSTREAM
        failure = held.service.reconnect([])
        assert isinstance(failure, UpstreamFailure)
        held.target.probed(True, "")
        assert isinstance(
            await cast("asyncio.Future[object]", held.service.connect()), UpstreamConnection
        )


async def test_target_that_is_down_is_used_when_it_is_the_only_one() -> None:
    async with plane(answering(OK)) as held:
        held.target.probed(False, "down")
        assert not held.service.is_up
        assert (await held.answer(request())).status == 200


# ---- new targets, and the end


async def busy(held: Plane) -> Callable[[], None]:
    """Begin a request; return what lets it go."""
    client = await held.send(post("Content-Length: 1"))
    await until(lambda: held.target.outstanding == 1)
    return lambda: client.send(b"x")


async def test_removed_target_finishes_what_it_has_and_gets_no_more() -> None:
    async with plane(echo_all, naming(b"b"), naming(b"c")) as held:
        old, *others = held.service.targets
        held.service.retarget({old.address: 1})
        client = await held.send(post("Content-Length: 1"))
        await until(lambda: old.outstanding == 1)
        held.service.retarget({target.address: 2 for target in others})
        assert held.service.roster.leaving == {old}
        bodies = {(await held.answer(request())).body for _ in range(6)}
        assert bodies == {b"b", b"c"}
        client.send(b"x")
        assert (await client.answer()).body == b"x"
        await until(lambda: not held.service.roster.leaving)
        assert old.connections == 0


async def test_target_that_stays_keeps_its_connections_and_what_is_known_of_it() -> None:
    async with plane(naming(b"a"), naming(b"b")) as held:
        for _ in range(2):
            await held.answer(request())
        stays, goes = held.service.targets
        stays.probed(False, "down")
        held.service.retarget({stays.address: 5, Address(host="127.0.0.1", port=1): 1})
        assert held.service.targets[0] is stays
        assert (stays.weight, stays.idle_connections, stays.health.is_down) == (5, 1, True)
        assert (goes.connections, held.service.roster.leaving) == (0, set())


async def test_new_target_warms_up_and_the_first_do_not() -> None:
    async with plane(naming(b"a"), slow_start=60.0) as held:
        assert held.target.health.share(held.target.time()) == 1.0
        held.service.retarget({held.target.address: 1, Address(host="127.0.0.1", port=1): 1})
        new = held.service.targets[1]
        assert new.health.share(new.time()) < 0.2


async def test_drained_service_keeps_no_connection_and_serves_those_who_come_late() -> None:
    async with plane(echo_all) as held:
        release = await busy(held)
        held.service.drain()
        ended = asyncio.ensure_future(held.service.emptied())
        late = await held.answer(post("Content-Length: 1", "Connection: close", body=b"y"))
        assert late.body == b"y"
        assert not ended.done()
        release()
        async with asyncio.timeout(5):
            await ended
        assert held.service.is_empty
        await held.service.emptied()


async def test_drained_service_keeps_no_connection_to_a_new_target_either() -> None:
    async with plane(naming(b"a")) as held:
        held.service.drain()
        address = held.target.address
        held.service.retarget({})
        held.service.retarget({address: 1})
        assert (await held.answer(request())).body == b"a"
        await until(lambda: held.service.is_empty)
