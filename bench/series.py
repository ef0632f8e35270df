"""A million requests that have nothing in common: how many series and how much memory they leave behind.

    python -m bench.series --requests 1000000

Each has a random path, method, host, address, user agent and, half of them, a key of its own. They go through what a
gateway counts requests with: metrics, usage, last uses, the store of usage, and the keys for Prometheus. Fails when
there are more series than the budget, or when memory grows with the requests. Knows no network: what is proved is that
nothing a client chooses is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.usage import SystemTime, a_grant, a_key, recorder
from gateway.domain.denial import Denial, Reason
from gateway.domain.outcome import Outcome, Reply
from gateway.domain.request import RequestHead
from gateway.domain.routes import Route
from gateway.ports import StoreUnavailable, UsageStore
from gateway.stores.sqlite import opened
from gateway.telemetry.families import FAMILIES
from gateway.telemetry.fanout import Fanout
from gateway.telemetry.last_used import LastUsed
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.top_keys import TopKeys
from gateway.telemetry.usage_writer import UsageWriter

BUDGET: Final = 20_000
TOP: Final = 50
GROWTH_MAX: Final = 32 * 2**20
"""Most bytes by which memory may grow after a tenth of the requests: what the allocator and SQLite's cache take."""

_PER_SECOND: Final = 10_000
_ROUTES: Final = tuple(Route(name=f"route.{n}", pattern="/v1") for n in range(20))
_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "BREW", "WHEN")


@dataclass(frozen=True, slots=True)
class Reading:
    """What there was after so many requests."""

    requests: int
    series: int
    memory: int


class Flood:
    """Counts requests as a gateway does, and makes them up."""

    def __init__(self, store: UsageStore, budget: int = BUDGET, top: int = TOP) -> None:
        self.clock = SystemTime()
        self.metrics = Metrics(
            version="bench",
            routes=[route.name for route in _ROUTES],
            upstreams=["u"],
            policies=["p/minute", "p/month"],
            series_budget=budget,
        )
        self.usage = recorder(self.clock)
        self.last_used = LastUsed(self.clock)
        self.top = TopKeys(self.clock, top)
        self.writer = UsageWriter(store, self.usage, self.clock, name="bench", tell=self.top.count)
        self.fanout = Fanout(
            {"metrics": self.metrics, "usage": self.usage, "last_used": self.last_used}, self.clock
        )
        self.metrics.watch("key_requests_total", self.top.reading)
        self.metrics.watch("usage_folded_total", lambda: self.usage.folded)
        self.metrics.watch("recorder_errors_total", self.fanout.faults)
        self.keyed = 0
        self._random = random.Random(1)

    async def second(self, requests: int) -> None:
        """Let one second pass with so many requests."""
        for _ in range(requests):
            self.fanout.record(self._outcome())
        with suppress(StoreUnavailable):  # a busy disk: the next second brings it, as in a gateway
            await self.writer.write()
        self.last_used.drain()
        self.clock.ahead += 1.0

    def series(self) -> int:
        """Return how many series are exported."""
        lines = self.metrics.render()[0].splitlines()
        return sum(not line.startswith(b"#") for line in lines)

    def series_of(self, name: str) -> dict[str, float]:
        """Return the values of one metric by their labels."""
        found = {}
        for line in self.metrics.render()[0].decode().splitlines():
            if line.startswith(f"tollhouse_{name}{{"):
                labels, _, value = line.rpartition(" ")
                found[labels] = float(value)
        return found

    def _outcome(self) -> Outcome:
        pick = self._random
        outcome = Outcome(self.clock.monotonic())
        path = f"/{pick.getrandbits(64):x}/{pick.getrandbits(32):x}"
        method = pick.choice(_METHODS)
        if pick.random() < 0.3:
            method = f"M{pick.getrandbits(40):X}"
        outcome.head = RequestHead(
            method=method,
            target=path.encode(),
            path=path,
            host=f"{pick.getrandbits(48):x}.test",
            fields=((b"user-agent", b"User-Agent", b"agent/%x" % pick.getrandbits(64)),),
        )
        outcome.client_address = ".".join(str(pick.randrange(256)) for _ in range(4))
        outcome.peer_address = outcome.client_address
        outcome.duration = pick.expovariate(100.0)
        outcome.request_bytes, outcome.response_bytes = 0, pick.randrange(5_000)
        outcome.ended, outcome.generation, outcome.request_id = "complete", 1, b"req_1"
        outcome.detail = ""
        if pick.random() < 0.5:
            self.keyed += 1
            outcome.key = a_key(pick.getrandbits(100))
            outcome.route = pick.choice(_ROUTES)
            outcome.grant = a_grant()
            outcome.status, outcome.reason = pick.choice((200, 201, 404, 500)), None
            outcome.result = Reply(
                outcome.status, ended="complete", upstream="u", target="t", upstream_seconds=0.001
            )
        else:
            outcome.reason = pick.choice((Reason.NO_ROUTE, Reason.UNKNOWN_KEY, Reason.BAD_CHECKSUM))
            outcome.status = 404 if outcome.reason is Reason.NO_ROUTE else 401
            outcome.result = Denial(reason=outcome.reason)
        return outcome


def memory() -> int:
    """Return the resident memory of this process in bytes."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4_096


async def measure(requests: int) -> list[Reading]:
    """Return readings after a tenth of the requests, a half, and all."""
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "bench.db") as store:
            flood = Flood(store.usage)
            done = 0
            due = [requests // 10, requests // 2, requests]
            while due:
                await flood.second(_PER_SECOND)
                done += _PER_SECOND
                if done % (6 * _PER_SECOND) == 0:
                    with suppress(StoreUnavailable):
                        await flood.writer.roll()
                if done >= due[0]:
                    readings.append(Reading(done, flood.series(), memory()))
                    due.pop(0)
            await flood.writer.write(is_last=True)
            shown = flood.series_of("key_requests_total")
            print(f"key_requests_total: {len(shown)} series, {sum(shown.values()):.0f} requests")
            assert sum(shown.values()) == flood.keyed
            assert sum(flood.fanout.faults().values()) == 0
    return readings


def main() -> int:
    """Measure and print; return 1 when something grew."""
    parser = argparse.ArgumentParser(description="Send requests that have nothing in common.")
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    print(
        f"CPython {platform.python_version()}, {len(FAMILIES)} metrics, budget {BUDGET}, top {TOP}"
    )
    readings = asyncio.run(measure(options.requests))
    for each in readings:
        print(f"{each.requests:>9,} requests: {each.series:>6,} series, {each.memory >> 20} MiB")
    first, last = readings[0], readings[-1]
    is_bounded = all(each.series <= BUDGET for each in readings)
    is_flat = last.memory - first.memory <= GROWTH_MAX
    print("bounded and flat" if is_bounded and is_flat else "IT GROWS")
    return 0 if is_bounded and is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
