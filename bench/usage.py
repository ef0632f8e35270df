"""What usage costs: per request while it is recorded, and per second while many keys are written down.

    python -m bench.usage                 # both
    python -m bench.usage --keys 10000    # so many keys that are active in every second
    python -m bench.usage --postgres      # and what writing them down takes in PostgreSQL

Knows the recorder and the store, without a network: what is measured is their part of a request alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.machine import Absent
from bench.postgres_server import Server, postgres
from gateway.domain.database_address import read_address
from gateway.domain.keys import BoundKey, KeyRecord
from gateway.domain.limits import Claim, Grant, Quota, Rate
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.redaction import Redactor
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.domain.tenants import Tenant
from gateway.domain.usage import Interval, UsageQuery
from gateway.ports import Clock, Recorder
from gateway.stores.postgres import opening
from gateway.stores.postgres.access import Access
from gateway.stores.postgres.store import PostgresStore
from gateway.stores.sqlite import SqliteStore, opened
from gateway.telemetry.last_used import LastUsed
from gateway.telemetry.usage import UsageRecorder
from gateway.telemetry.usage_visitors import VisitorRules, Visitors
from gateway.telemetry.usage_writer import UsageWriter

_REQUESTS: Final = 2_000
_ROUNDS: Final = 200
"""Few requests again and again: what is recorded was made a moment ago, and lies in the caches."""
_SECONDS: Final = 20


class SystemTime:
    """Implements `ports.Clock`; `ahead` may be moved, to let minutes pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


def a_key(number: int) -> BoundKey:
    """Return a key with an id as long as real ones."""
    key_id = f"key_{number:032}"
    record = KeyRecord(
        key_id=key_id,
        lineage_id=f"lin_{number:032}",
        tenant_id=f"ten_{number % 100:032}",
        name="bench",
        format="sk",
        environment="live",
        digest=bytes(32),
        pepper_id="p1",
        display="sk_live_ab12…wxyz",
    )
    tenant = Tenant(tenant_id=record.tenant_id, name="Bench")
    return BoundKey(
        record=record, tenant=tenant, scopes=frozenset(), allowlists=(), claims=(), identity=b""
    )


def an_outcome(key: BoundKey, route: Route, number: int, grant: Grant | None) -> Outcome:
    """Return a forwarded request that was answered with 200."""
    outcome = Outcome(0.0)
    outcome.head = RequestHead(
        method="GET",
        target=b"/v1/jobs",
        path="/v1/jobs",
        fields=((b"user-agent", b"User-Agent", b"client/%d" % (number % 5)),),
    )
    outcome.route, outcome.key, outcome.grant = route, key, grant
    outcome.client_address = f"192.0.{number % 250}.{number % 7}"
    outcome.peer_address = outcome.client_address
    outcome.status, outcome.reason, outcome.detail = 200, None, ""
    outcome.duration = 0.0005 * (number % 40 + 1)
    outcome.request_bytes, outcome.response_bytes = 0, 1_024
    outcome.ended, outcome.generation, outcome.request_id = "complete", 1, b"req_1"
    outcome.result = Reply(200, ended="complete", upstream="u", target="t", upstream_seconds=0.001)
    return outcome


def a_grant() -> Grant:
    """Return a grant of a rate and a quota whose tightest standing is known, as it is when metrics have read it."""
    claims = (
        Claim(
            bucket="lineage:l:p:minute",
            policy="p/minute",
            rule=Rate(name="minute", limit=300, window_seconds=60, burst=500),
        ),
        Claim(
            bucket="lineage:l:p:month",
            policy="p/month",
            rule=Quota(name="month", limit=100_000, period="month"),
        ),
    )
    grant = Grant.admit(claims, (60_000_000_000, 77), (), 0.0)
    assert grant.decided_by
    return grant


def recorder(clock: Clock) -> UsageRecorder:
    """Return a recorder as a gateway has it."""
    rules = VisitorRules(redactor=Redactor({("sk", ("live", "test"))}), is_trusted=lambda _: False)
    return UsageRecorder(clock, Visitors(rules))


def nanoseconds(record: Callable[[Outcome], None], outcomes: list[Outcome]) -> float:
    """Return what recording one of `outcomes` takes, without the loop around it."""
    now = time.monotonic()
    for outcome in outcomes:
        outcome.started = now
    nothing: Recorder = _Nothing()
    started = time.thread_time_ns()
    for outcome in outcomes:
        nothing.record(outcome)
    idle = time.thread_time_ns() - started
    started = time.thread_time_ns()
    for outcome in outcomes:
        record(outcome)
    return (time.thread_time_ns() - started - idle) / len(outcomes)


class _Nothing:
    def record(self, outcome: Outcome) -> None:
        pass


def per_request(keys: int) -> None:
    """Print what one request pays."""
    clock = SystemTime()
    made = [a_key(number) for number in range(keys)]
    routes = [Route(name=f"route.{number}", pattern="/v1") for number in range(5)]
    outcomes = [
        an_outcome(made[number % keys], routes[number % 5], number, a_grant())
        for number in range(_REQUESTS)
    ]
    for name, make in (
        ("usage", lambda: recorder(clock)),
        ("last use, to compare", lambda: LastUsed(clock)),
    ):
        each: Any = make()
        nanoseconds(each.record, outcomes)  # what begins with the second
        found = [nanoseconds(each.record, outcomes) for _ in range(_ROUNDS)]
        print(f"  {name}: {min(found):.0f} ns at best, median {median(found):.0f} ({keys} keys)")


async def per_second_in_postgres(keys: int, server: Server) -> None:
    """Print what writing down one second takes in PostgreSQL, here and there."""
    clock = SystemTime()
    made = [a_key(number) for number in range(keys)]
    routes = [Route(name=f"route.{number}", pattern="/v1") for number in range(2)]
    access = Access(address=read_address(server.url("postgres")))
    times: dict[str, list[float]] = {"write": [], "CPU time": [], "CPU time of PostgreSQL": []}
    async with opening.opened(access, 4) as database:
        counted = recorder(clock)
        writer = UsageWriter(PostgresStore(database).usage, counted, clock, name="bench")
        for second in range(_SECONDS):
            for number, key in enumerate(made):
                outcome = an_outcome(key, routes[second % 2], number, None)
                outcome.started = clock.monotonic()
                counted.record(outcome)
            before = time.perf_counter(), time.process_time(), server.cpu_seconds()
            await writer.write()
            after = time.perf_counter(), time.process_time(), server.cpu_seconds()
            for name, since, until in zip(times, before, after, strict=True):
                times[name].append(until - since)
            clock.ahead += 1.0
    for name, found in times.items():
        _tell("in PostgreSQL", found, name)


async def per_second(keys: int) -> None:
    """Print what writing down one second takes, and how long a change of a key waits meanwhile."""
    clock = SystemTime()
    made = [a_key(number) for number in range(keys)]
    routes = [Route(name=f"route.{number}", pattern="/v1") for number in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "bench.db") as store:
            await store.save_tenant(Tenant(tenant_id="ten_a", name="A"))
            counted = recorder(clock)
            writer = UsageWriter(store.usage, counted, clock, name="bench")
            times: dict[str, list[float]] = {"write": [], "roll": [], "key": [], "lag": []}
            alone: dict[str, list[float]] = {"nothing": [], "key": [], "lag": []}
            await _timed(store, lambda: asyncio.sleep(2), alone, "nothing")
            _tell("without usage", alone["key"], "key")
            for second in range(_SECONDS):
                for number, key in enumerate(made):
                    outcome = an_outcome(key, routes[second % 2], number, None)
                    outcome.started = clock.monotonic()
                    counted.record(outcome)
                await _timed(store, writer.write, times, "write")
                clock.ahead += 1.0
                if second % 5 == 4:
                    clock.ahead += 60.0
                    await _timed(store, writer.roll, times, "roll")
            size = os.stat(f"{folder}/bench.db").st_size  # noqa: PTH116 - a bench
            for name, found in times.items():
                _tell("with usage", found, name)
            print(f"  file: {size / 1e6:.0f} MB")
            for asked in ((), ("key",), ("time", "route")):
                started = time.perf_counter()
                query = UsageQuery(
                    since=0,
                    until=1e10,
                    interval=Interval.MINUTE,
                    group_by=asked,
                    order_by="requests",
                )
                rows = await store.usage.cells(query)
                took = (time.perf_counter() - started) * 1000
                print(f"  question by {asked}: {took:.0f} ms for {len(rows)} rows")


def _tell(when: str, seconds: list[float], name: str) -> None:
    worst, middle = max(seconds) * 1000, median(seconds) * 1000
    print(f"  {when}, {name}: median {middle:.1f} ms, worst {worst:.1f} ms of {len(seconds)}")


async def _timed(
    store: SqliteStore, act: Callable[[], Any], times: dict[str, list[float]], name: str
) -> None:
    """Take the time of `act`, and of changes of a key and turns of the event loop that happen beside it."""
    done = asyncio.Event()

    async def change() -> None:
        while not done.is_set():
            started = time.perf_counter()
            await store.save_tenant(Tenant(tenant_id="ten_a", name="A"))
            times["key"].append(time.perf_counter() - started)
            await asyncio.sleep(0.005)

    async def turn() -> None:
        while not done.is_set():
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            times["lag"].append(time.perf_counter() - started - 0.001)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(change())
        tasks.create_task(turn())
        await asyncio.sleep(0.01)
        started, cpu = time.perf_counter(), time.process_time()
        await act()
        times[name].append(time.perf_counter() - started)
        times.setdefault(f"{name}, CPU time", []).append(time.process_time() - cpu)
        done.set()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what usage costs.")
    parser.add_argument("--keys", type=int, default=10_000, help="keys active in every second")
    parser.add_argument(
        "--postgres", action="store_true", help="in PostgreSQL, too (pip install 'tollhouse[test]')"
    )
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}")
    print("recording a request")
    per_request(1_000)
    print(f"writing down a second of {options.keys} active keys")
    asyncio.run(per_second(options.keys))
    if options.postgres:
        try:
            with postgres() as server:
                asyncio.run(per_second_in_postgres(options.keys, server))
        except Absent as problem:
            print(f"PostgreSQL was not measured: {problem}")


if __name__ == "__main__":
    main()
