"""Health checks against real servers: what is asked, what is good, and who is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain.verdict import Verdict
from gateway.upstreams.probes import PROBES_AT_ONCE_MAX, Outcome, Probes, ProbeSettings
from gateway.upstreams.target import Address
from gateway.upstreams.tls import TlsSettings, client_context
from tests.certificates import authority, issue, server_context, trust
from tests.wire import OK, Asked, Backend, once, read_request, silent, until

DOWN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Watched:
    """A target that keeps what it is told."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.label = address.label
        self.told: list[tuple[bool, str]] = []

    def probed(self, is_up: bool, why: str) -> None:
        self.told.append((is_up, why))


class Service:
    """A backend that answers as it is told to at each moment."""

    def __init__(self) -> None:
        self.response = OK
        self.asked: list[Asked] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await read_request(reader))
        writer.write(self.response)
        await writer.drain()


def guarded(backend: Backend) -> Backend:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await backend(reader, writer)
        finally:
            writer.close()

    return serve


@asynccontextmanager
async def listening(backend: Backend) -> AsyncIterator[Watched]:
    server = await asyncio.start_server(guarded(backend), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Watched(Address(host="127.0.0.1", port=port))


class Running:
    """Probes that run, and the outcomes that they told."""

    def __init__(self, settings: ProbeSettings, targets: Sequence[Watched]) -> None:
        self.targets = list(targets)
        self.outcomes: Counter[str] = Counter()
        self.probes = Probes(settings, lambda: self.targets, count=self._count, random=lambda: 0.5)

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1


@asynccontextmanager
async def probing(settings: ProbeSettings, *targets: Watched) -> AsyncIterator[Running]:
    running = Running(settings, targets)
    task = asyncio.create_task(running.probes.run())
    try:
        yield running
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def often(**changes: object) -> ProbeSettings:
    made: dict[str, object] = {
        "path": "/health",
        "interval_seconds": 0.02,
        "timeout_seconds": 5.0,
        **changes,
    }
    return ProbeSettings(**made)  # type: ignore[arg-type]


# ---- verdicts


async def test_target_that_fails_is_told_once_and_comes_back_once() -> None:
    service = Service()
    async with listening(service) as target, probing(often(), target) as running:
        await until(lambda: running.outcomes[Outcome.OK] >= 3)
        assert target.told == [(True, "answered 200")]
        service.response = DOWN
        await until(lambda: len(target.told) == 2)
        assert target.told[1] == (False, "answered 503")
        assert running.outcomes[Outcome.STATUS] == 3
        await until(lambda: running.outcomes[Outcome.STATUS] > 5)
        service.response = OK
        good = running.outcomes[Outcome.OK]
        await until(lambda: len(target.told) == 3)
        assert target.told[2] == (True, "answered 200")
        assert running.outcomes[Outcome.OK] == good + 2


async def test_first_probe_is_sent_at_once_and_decides() -> None:
    service = Service()
    service.response = DOWN
    async with listening(service) as target, probing(often(interval_seconds=60.0), target):
        await until(lambda: target.told == [(False, "answered 503")])
        service.response = OK
        # It is asked again after a second, and not after an interval.
        await until(lambda: target.told[1:] == [(True, "answered 200")])


async def test_each_target_is_judged_by_its_own_answers() -> None:
    bad = Service()
    bad.response = DOWN
    async with listening(Service()) as one, listening(bad) as other, probing(often(), one, other):
        await until(lambda: bool(one.told and other.told))
        assert (one.told[0][0], other.told[0][0]) == (True, False)


# ---- what is good


@pytest.mark.parametrize(
    ("changes", "response", "outcome"),
    [
        ({}, b"HTTP/1.1 204 No Content\r\n\r\n", Outcome.OK),
        ({}, b"HTTP/1.1 301 Moved\r\nLocation: /sorry\r\nContent-Length: 0\r\n\r\n", Outcome.STATUS),
        ({"statuses": ((200, 200), (400, 404))}, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
         Outcome.OK),
        ({"statuses": ((200, 200), (400, 404))}, b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n",
         Outcome.STATUS),
        ({"body_contains": b"ell"}, OK, Outcome.OK),
        ({"body_contains": b"elll"}, OK, Outcome.BODY),
        ({"body_contains": b"z"}, b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + b"a" * 65536 + b"z",
         Outcome.BODY),
        ({"body_contains": b"z"}, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nz", Outcome.OK),
        ({"body_contains": b"y"}, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nz", Outcome.ERROR),
        ({}, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nnot", Outcome.OK),
        ({}, b"SSH-2.0-OpenSSH\r\n", Outcome.ERROR),
        ({}, b"", Outcome.ERROR),
    ],
    ids=range(12),
)  # fmt: skip
async def test_answer_is_good_if_it_is_what_was_asked_for(
    changes: dict[str, object], response: bytes, outcome: Outcome
) -> None:
    async with listening(once(response)) as target, probing(often(**changes), target) as running:
        await until(lambda: bool(target.told))
        assert target.told[0][0] is (outcome is Outcome.OK)
        assert set(running.outcomes) == {outcome}


async def test_silence_is_a_timeout() -> None:
    settings = often(timeout_seconds=0.05)
    async with listening(silent) as target, probing(settings, target) as running:
        await until(lambda: bool(target.told))
        assert target.told[0] == (False, "no answer within 0.05 s")
        assert running.outcomes[Outcome.TIMEOUT]


async def test_refused_connection_is_told_with_its_cause() -> None:
    async with listening(silent) as target:
        pass
    async with probing(often(), target):
        await until(lambda: bool(target.told))
        assert "Connect call failed" in target.told[0][1]


async def test_probe_that_breaks_is_logged_and_does_not_end_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = Watched(Address(host="127.0.0.1", port=99999))
    async with listening(Service()) as target, probing(often(), broken, target) as running:
        with caplog.at_level(logging.ERROR):
            await until(lambda: bool(broken.told and running.outcomes[Outcome.OK] > 3))
        assert broken.told[0] == (False, "the probe broke: ValueError")
        assert "a probe of 127.0.0.1:99999 broke" in caplog.text


# ---- what is asked


async def test_probe_asks_what_is_configured_and_carries_nothing_else() -> None:
    service = Service()
    settings = often(path="/health?deep=1&a=%20b", host="jobs.test", headers={"X-Probe": "yes"})
    async with listening(service) as target, probing(settings, target):
        await until(lambda: len(service.asked) > 1)
    asked = service.asked[0]
    assert asked.line == "GET /health?deep=1&a=%20b HTTP/1.1"
    assert asked.fields == {
        "host": "jobs.test",
        "user-agent": "tollhouse",
        "x-probe": "yes",
        "accept": "*/*",
        "connection": "close",
        "accept-encoding": asked.fields["accept-encoding"],
    }


async def test_host_is_that_of_the_target_unless_configured() -> None:
    service = Service()
    async with listening(service) as target, probing(often(method="HEAD"), target):
        await until(lambda: bool(service.asked))
        assert service.asked[0].line.startswith("HEAD ")
        assert service.asked[0].fields["host"] == target.label
    named = Watched(Address(host="127.0.0.1", port=target.address.port, authority="jobs.test:80"))
    assert named.address.authority == "jobs.test:80"


async def test_cookies_of_an_answer_are_not_sent_back() -> None:
    service = Service()
    service.response = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with listening(service) as target, probing(often(), target):
        await until(lambda: len(service.asked) > 2)
    assert not any("cookie" in asked.fields for asked in service.asked)


async def test_each_probe_is_a_new_connection() -> None:
    peers: set[object] = set()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        await read_request(reader)
        writer.write(OK)
        await reader.read()

    async with listening(backend) as target, probing(often(), target):
        await until(lambda: len(peers) >= 3)


# ---- how it is reached


async def test_unix_socket_is_probed(tmp_path: Path) -> None:
    service, path = Service(), str(tmp_path / "app.sock")
    async with await asyncio.start_unix_server(guarded(service), path):
        target = Watched(Address(unix_path=path))
        async with probing(often(), target):
            await until(lambda: bool(target.told))
        assert target.told == [(True, "answered 200")]
        assert service.asked[0].fields["host"] == "localhost"


async def test_tls_is_probed_under_the_name_that_requests_use(tmp_path: Path) -> None:
    ca = authority()
    issued = issue(tmp_path, ca, "backend.test")
    gateway = issue(tmp_path, ca, "gateway.test", file="gateway")
    server = server_context(issued, clients=ca)
    trusting = client_context(
        TlsSettings(ca=trust(tmp_path, ca), certificate=gateway.certificate, key=gateway.key)
    )
    service = Service()
    async with await asyncio.start_server(guarded(service), "127.0.0.1", 0, ssl=server) as listen:
        port = listen.sockets[0].getsockname()[1]
        address = Address(host="127.0.0.1", port=port, tls=trusting, server_name="backend.test")
        right = Watched(address)
        wrong = Watched(Address(host="127.0.0.1", port=port, tls=trusting, server_name="b.test"))
        async with probing(often(), right, wrong):
            await until(lambda: bool(right.told and wrong.told))
    assert right.told == [(True, "answered 200")]
    assert "TLS: its certificate is refused: Hostname mismatch" in wrong.told[0][1]


# ---- targets that come and go


async def test_new_target_is_probed_and_one_that_left_is_not() -> None:
    one, other = Service(), Service()
    async with (
        listening(one) as first,
        listening(other) as second,
        probing(often(), first) as running,
    ):
        await until(lambda: bool(first.told))
        assert not other.asked
        running.targets[:] = [second]
        running.probes.changed()
        await until(lambda: bool(second.told))
        asked = len(one.asked)
        await until(lambda: len(other.asked) > 5)
        assert len(one.asked) <= asked + 1  # one may have been under way


async def test_target_that_stays_keeps_its_verdict() -> None:
    async with (
        listening(Service()) as first,
        listening(Service()) as second,
        probing(often(), first) as running,
    ):
        await until(lambda: bool(first.told))
        running.targets.append(second)
        running.probes.changed()
        await until(lambda: bool(second.told))
        assert len(first.told) == 1


async def test_probes_of_one_upstream_are_bounded_at_any_moment() -> None:
    now, most = 0, 0

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await read_request(reader)
        await asyncio.sleep(0.02)
        now -= 1
        writer.write(OK)

    async with listening(backend) as target:
        targets = [Watched(target.address) for _ in range(3 * PROBES_AT_ONCE_MAX)]
        async with probing(often(interval_seconds=5.0), *targets):
            await until(lambda: all(each.told for each in targets))
    assert most <= PROBES_AT_ONCE_MAX


async def test_probes_stop_at_once_when_they_are_cancelled() -> None:
    async with listening(silent) as target, probing(often(), target):
        await asyncio.sleep(0)
    # `probing` has awaited the task: neither it nor a connection is left, or warnings would fail this test.


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 5.0), (1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (5000, 5.0)]
)
def test_target_that_was_never_up_is_asked_soon_and_then_less_often(
    failures: int, seconds: float
) -> None:
    running = Running(ProbeSettings(path="/"), [])
    verdict = Verdict(rise=1, fall=1)
    for _ in range(failures):
        verdict.take(False)
    if not failures:
        verdict.take(True)
    assert running.probes._pause(verdict) == pytest.approx(seconds * 0.95)
