"""Normal traffic at a fixed rate, as a process of its own: `python -m bench.hostile.steady`.

Requests leave on schedule whether or not earlier ones were answered, and one that has to wait for a free connection is
timed from when it was due: a gateway that stalls cannot hide it by stalling its own load.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections import deque
from typing import Final, cast

import uvloop

CONNECTIONS: Final = 64
_TICK_SECONDS: Final = 0.002
_ON_TIME_SECONDS: Final = 0.003
"""A request that leaves at most this late is timed from when it left: the load's own clock is that coarse."""


class Lane(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._buffer = b""
        self._due = 0.0  # when the request on its way was due
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, raw: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._buffer = b""
            self._traffic.answered(self, self._due, is_right=head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        self._traffic.lost(self)


class Traffic:
    """Sends `rate` requests per second and keeps how long each took."""

    def __init__(self, port: int, raw: bytes, rate: float) -> None:
        self._port = port
        self._raw = raw
        self._rate = rate
        self._loop = asyncio.get_running_loop()
        self._free: list[Lane] = []
        self._waiting: deque[float] = deque()
        self._sent = 0
        self.seconds: list[float] = []
        self.failures = 0
        self.is_over = False

    async def run(self, seconds: float) -> float:
        """Run for `seconds`; return how long it really took."""
        for _ in range(CONNECTIONS):
            await self._connect()
        started = time.perf_counter()
        while (passed := time.perf_counter() - started) < seconds:
            self._send_due(started, passed)
            await asyncio.sleep(_TICK_SECONDS)
        self.is_over = True
        await asyncio.sleep(0.5)  # for the last answers
        self.failures += self._sent - len(self.seconds) - self.failures
        return passed

    async def _connect(self) -> None:
        try:
            _, lane = await self._loop.create_connection(
                lambda: Lane(self), "127.0.0.1", self._port
            )
        except OSError:
            self.failures += 1
        else:
            self._free.append(lane)

    def _send_due(self, started: float, passed: float) -> None:
        while self._sent < passed * self._rate:
            due = started + self._sent / self._rate
            self._sent += 1
            now = time.perf_counter()
            due = now if now - due < _ON_TIME_SECONDS else due
            if self._free:
                self._free.pop().ask(self._raw, due)
            else:
                self._waiting.append(due)

    def answered(self, lane: Lane, due: float, *, is_right: bool) -> None:
        if is_right:
            self.seconds.append(time.perf_counter() - due)
        if self._waiting:
            lane.ask(self._raw, self._waiting.popleft())
        else:
            self._free.append(lane)

    def lost(self, lane: Lane) -> None:
        if lane in self._free:
            self._free.remove(lane)
        if not self.is_over:
            self._loop.call_later(0.05, self._replace)

    def _replace(self) -> None:
        self._replacing = self._loop.create_task(self._connect())


def main() -> None:
    """Send, and print one line of JSON: milliseconds, requests per second, failures."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile.steady")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    gc.disable()  # a pause of the load would look like one of the gateway
    print(json.dumps(uvloop.run(_run(parser.parse_args()))), flush=True)


async def _run(options: argparse.Namespace) -> dict[str, float]:
    raw = (
        f"GET {options.target} HTTP/1.1\r\nHost: api.test\r\n"
        f"Authorization: Bearer {options.token}\r\n\r\n"
    ).encode()
    traffic = Traffic(options.port, raw, options.rate)
    passed = await traffic.run(options.seconds)
    taken = sorted(traffic.seconds) or [float("inf")]
    return {
        "p50": taken[len(taken) // 2] * 1000,
        "p99": taken[int(len(taken) * 0.99)] * 1000,
        "worst": taken[-1] * 1000,
        "rate": len(traffic.seconds) / passed,
        "failures": traffic.failures,
    }


if __name__ == "__main__":
    main()
