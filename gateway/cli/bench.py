"""`tollhouse bench`: a small load on a running gateway, and what came of it.

Knows how requests are sent for a while over connections that stay open, and that a figure needs its limits: what the
client itself could do, and what was not 200. It takes a key from a file, never from an argument. The benchmarks of the
project, with peers and several loads, are `make bench`.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import ssl
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import uvloop

from gateway.cli.output import Printer, add_output_option
from gateway.cli.statuses import DONE, REFUSED, UNREACHABLE, WRONG_USAGE

CONNECTIONS_MAX: Final = 1000
SECONDS_MAX: Final = 300.0
_WARM_SECONDS: Final = 1.0
"""Connections are made and caches filled by then; what was answered before does not count."""

_ANSWER_SECONDS_MAX: Final = 30.0
_AGAIN_SECONDS: Final = 0.01
"""A port that refuses is not hammered."""
_CLIENT_BUSY: Final = 0.9
"""A client that was at work for so much of the time has measured itself."""

_STEP: Final = math.log(1.02)
_MICROSECOND: Final = 1e-6


class Latencies:
    """How long answers took, counted in steps of 2 %: as much memory for a million as for ten."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.longest = max(self.longest, seconds)
        self._counts[max(0, math.ceil(math.log(max(seconds, 1e-9) / _MICROSECOND) / _STEP))] += 1

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of all was answered, up to 2 % too many; 0.0 for none."""
        wanted, seen = share * self._counts.total(), 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return min(self.longest, math.exp(step * _STEP) * _MICROSECOND)
        return 0.0


@dataclass(slots=True)
class Measured:
    """What came of a load. `errors` are requests without an answer, by what went wrong."""

    seconds: float = 0.0
    client_cpu: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def requests(self) -> int:
        """How many were answered."""
        return self.statuses.total()


async def measure(
    url: str,
    headers: Mapping[str, str],
    connections: int,
    found: Measured,
    *,
    warm: Callable[[], Awaitable[object]],
    count: Callable[[], Awaitable[object]],
) -> None:
    """Ask for `url` over so many connections, one request after the other on each, while `warm` and then `count` last;
    `found` is told of what is answered, or not, during the latter.
    """
    is_counting = is_over = False
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:

        async def ask() -> None:
            while not is_over:
                started = time.perf_counter()
                try:
                    async with session.get(url, allow_redirects=False) as answer:
                        async for _ in answer.content.iter_any():
                            pass
                except (aiohttp.ClientError, TimeoutError, ssl.SSLError) as error:
                    found.errors[type(error).__name__] += is_counting
                    await asyncio.sleep(_AGAIN_SECONDS)
                    continue
                if is_counting:
                    found.statuses[answer.status] += 1
                    found.latencies.add(time.perf_counter() - started)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(connections):
                tasks.create_task(ask())
            await warm()
            is_counting = True
            used, at = time.process_time(), time.perf_counter()
            await count()
            is_counting, is_over = False, True
            found.seconds = time.perf_counter() - at
            found.client_cpu = (time.process_time() - used) / found.seconds


def register(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "bench",
        help="put a small load on a running gateway, and say what came of it",
        description="Ask for one address over connections that stay open, as fast as it is answered, and print how"
        " many requests were answered, how fast and with which statuses. Every request counts for limits, quotas and"
        " usage. Only for a gateway of your own.",
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="what is asked for, with GET")
    parser.add_argument(
        "--key-file", type=Path, metavar="PATH", help="file with the key (default: none is sent)"
    )
    parser.add_argument(
        "--connections",
        type=_up_to(CONNECTIONS_MAX),
        default=32,
        metavar="N",
        help=f"how many, at most {CONNECTIONS_MAX} (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=_up_to(int(SECONDS_MAX)),
        default=10,
        metavar="N",
        help=f"for how long is counted, after a second that is not; at most {SECONDS_MAX:.0f} (default: %(default)s)",
    )
    add_output_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    printer = Printer(options.output)
    if urlsplit(options.url).scheme not in ("http", "https"):
        printer.message("tollhouse: URL begins with http:// or https://")
        return WRONG_USAGE
    headers = {"User-Agent": "tollhouse-bench"}
    if options.key_file is not None:
        try:
            headers["Authorization"] = f"Bearer {options.key_file.read_text('ascii').strip()}"
        except (OSError, ValueError) as error:
            printer.message(f"tollhouse: --key-file {options.key_file}: {type(error).__name__}")
            return WRONG_USAGE
    found = Measured()
    load = measure(
        *(options.url, headers, options.connections, found),
        warm=partial(asyncio.sleep, _WARM_SECONDS),
        count=partial(asyncio.sleep, options.seconds),
    )
    uvloop.run(load)
    return show(found, options.connections, printer)


def show(found: Measured, connections: int, printer: Printer) -> int:
    """Print what came of a load; return the exit status: 1 unless each request was answered, none with 5xx."""
    latencies = found.latencies
    printer.entry(
        {
            "requests": found.requests,
            "seconds": round(found.seconds, 3),
            "connections": connections,
            "requests_per_second": round(found.requests / found.seconds, 1),
            "p50_ms": _milliseconds(latencies.quantile(0.5)),
            "p90_ms": _milliseconds(latencies.quantile(0.9)),
            "p99_ms": _milliseconds(latencies.quantile(0.99)),
            "max_ms": _milliseconds(latencies.longest),
            "statuses": {str(status): found.statuses[status] for status in sorted(found.statuses)},
            "errors": dict(sorted(found.errors.items())),
            "client_cpu": round(found.client_cpu, 2),
            "python": sys.version.split()[0],
        }
    )
    if found.client_cpu >= _CLIENT_BUSY:
        printer.message(
            f"this client was at work for {found.client_cpu:.0%} of the time: the gateway can do more than it can ask"
            " for, and latencies are the client's. Start several, or take a faster client"
        )
    others = found.requests - found.statuses[200]
    if others:
        printer.message(
            f"{others} answers were not 200: they cost less, or more, than those that are"
        )
    if not found.requests:
        printer.message("tollhouse: nothing was answered")
        return UNREACHABLE
    is_sound = not found.errors and all(status < 500 for status in found.statuses)
    return DONE if is_sound else REFUSED


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _up_to(most: int) -> Any:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
            raise argparse.ArgumentTypeError(f"must be a number from 1 to {most}")
        return int(text)

    return number
