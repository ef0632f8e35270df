"""A load at a constant rate: `python -m bench.constant_rate PORT RATE SECONDS FILE`.

A request is due at its place in the schedule, whether or not earlier ones were answered, and its latency counts from
when it was due, not from when a connection became free or this process got round to it. So a gateway that stalls
cannot hide it by stalling its own load (coordinated omission), and what this process is late by is part of every
figure: compare with the same rate sent directly to the upstream. The first second is sent and not counted: it is the
one in which all connections are made at once, to the gateway and behind it, and 64 of them are more than one request
in a hundred of the seconds that follow.

Sockets and epoll without a framework, because at 20,000 requests per second every microsecond here is taken from the
upstream on the same core. The wait is `select` on the epoll descriptor: it takes microseconds, epoll milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 64
WARM_UP_SECONDS: Final = 1.0
"""What is sent before anything is counted."""
LAST_ANSWERS_SECONDS: Final = 2.0
"""How long the answers to the last requests are waited for."""


class Schedule:
    """When requests are due: evenly spaced from `started` on."""

    __slots__ = ("_gap", "_started", "sent")

    def __init__(self, rate: float, started: float) -> None:
        self._gap = 1.0 / rate
        self._started = started
        self.sent = 0

    @property
    def next_due(self) -> float:
        """Return when the next request is due."""
        return self._started + self.sent * self._gap

    def take(self, now: float) -> float | None:
        """Return when the next request was due and count it as sent, or None when it is not due."""
        due = self.next_due
        if due > now:
            return None
        self.sent += 1
        return due


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of it; latencies are seconds, `late_p99` is what this process itself was late by.

    `requests`, `seconds` and `failures` are those of the whole run, the others without the warm-up.
    """

    requests: int
    seconds: float
    failures: int
    latency_p50: float
    latency_p99: float
    late_p99: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the sorted values that at least `share` of them do not exceed (nearest rank)."""
    if not ordered:
        return float("inf")
    rank = -int(-share * len(ordered) // 1)
    return ordered[max(0, min(len(ordered), rank) - 1)]


class Lane:
    """One keep-alive connection with at most one request on its way."""

    __slots__ = ("_expected", "_received", "due", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self._received = b""
        self._expected = 0

    def ask(self, raw: bytes, due: float) -> None:
        """Send a request; it is so small that the socket takes it whole."""
        self.due = due
        self.socket.send(raw)

    def answer(self) -> bool | None:
        """Read; return whether the answer is a whole 200, or None while it is not whole."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError
        self._received = self._received + data if self._received else data
        if not self._expected:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._expected = end + 4 + content_length(self._received[:end])
        if len(self._received) < self._expected:
            return None
        is_right = self._received.startswith(b"HTTP/1.1 200")
        self._received, self._expected = b"", 0
        return is_right


def content_length(head: bytes) -> int:
    """Return the value of Content-Length; 0 without one."""
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Traffic:
    """Sends on schedule over the free lanes; what finds none waits, and its clock runs."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._requests = cycle(requests)
        self._lanes = {
            lane.socket.fileno(): lane for lane in (Lane(port) for _ in range(CONNECTIONS))
        }
        self._free = list(self._lanes.values())
        self._waiting: deque[float] = deque()
        self._epoll = select.epoll()
        for number in self._lanes:
            self._epoll.register(number, select.EPOLLIN)
        self.latencies: list[float] = []
        self.late: list[float] = []
        self._answers = 0
        self._counted_from = 0.0

    def run(self, rate: float, seconds: float, warm_up: float = WARM_UP_SECONDS) -> Report:
        """Send at `rate` for `seconds` after the warm-up, wait for the last answers, and report."""
        started = time.perf_counter()
        schedule = Schedule(rate, started)
        self._counted_from = started + warm_up
        end = self._counted_from + seconds
        while (now := time.perf_counter()) < end:
            self._send_due(schedule, now)
            self._read(schedule.next_due - time.perf_counter())
        while self._is_busy and time.perf_counter() < end + LAST_ANSWERS_SECONDS:
            self._read(0.05)
        answered = sorted(self.latencies)
        return Report(
            requests=self._answers,
            seconds=warm_up + seconds,
            failures=schedule.sent - self._answers,
            latency_p50=percentile(answered, 0.50),
            latency_p99=percentile(answered, 0.99),
            late_p99=percentile(sorted(self.late), 0.99),
        )

    def close(self) -> None:
        """Close every connection."""
        self._epoll.close()
        for lane in self._lanes.values():
            lane.socket.close()

    @property
    def _is_busy(self) -> bool:
        return bool(self._waiting) or len(self._free) < len(self._lanes)

    def _send_due(self, schedule: Schedule, now: float) -> None:
        while (due := schedule.take(now)) is not None:
            if due >= self._counted_from:
                self.late.append(now - due)
            if self._free:
                self._free.pop().ask(next(self._requests), due)
            else:
                self._waiting.append(due)

    def _read(self, seconds: float) -> None:
        # Answers may be there already; then there is no need to wait.
        ready = self._epoll.poll(0)
        if not ready and seconds > 0:
            select.select([self._epoll], [], [], seconds)
            ready = self._epoll.poll(0)
        for number, _ in ready:
            self._answered(self._lanes[number])

    def _answered(self, lane: Lane) -> None:
        try:
            is_right = lane.answer()
        except OSError:
            self._epoll.unregister(lane.socket)  # a lane that broke is not used again
            del self._lanes[lane.socket.fileno()]
            lane.socket.close()
            return
        if is_right is None:
            return
        if is_right:
            self._answers += 1
        if is_right and lane.due >= self._counted_from:
            self.latencies.append(time.perf_counter() - lane.due)
        if self._waiting:
            lane.ask(next(self._requests), self._waiting.popleft())
        else:
            self._free.append(lane)


def raw_requests(lines: Sequence[str]) -> list[bytes]:
    """Return the requests of a file of `load.lua`: method, path, token and bytes of the body."""
    raw = []
    for line in lines:
        method, path, token, size = line.rstrip("\n").split("\t")
        fields = ["Host: 127.0.0.1"]
        fields += [f"Authorization: Bearer {token}"] if token else []
        fields += [f"Content-Length: {size}"] if size != "0" else []
        head = "\r\n".join((f"{method} {path} HTTP/1.1", *fields, "", ""))
        raw.append(head.encode("ascii") + b"x" * int(size))
    return raw


def main() -> None:
    """Send, and print the report as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.constant_rate")
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("seconds", type=float)
    parser.add_argument("requests", type=Path)
    options = parser.parse_args()
    with options.requests.open("r", encoding="ascii") as lines:
        traffic = Traffic(options.port, raw_requests(list(lines)))
    gc.disable()  # a pause of the load would look like one of the gateway
    try:
        print(json.dumps(asdict(traffic.run(options.rate, options.seconds))), flush=True)
    finally:
        traffic.close()


if __name__ == "__main__":
    main()
