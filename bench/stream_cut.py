"""Do exactly the streams of a revoked key end? `python -m bench.stream_cut`.

A thousand streams, half of them server-sent events and half WebSockets, on a hundred keys, through the real gateway
with one worker and with two. Ten keys are revoked at once through the admin API: exactly their hundred streams have to
end within a second, as what they are, and every other has to get every event before and after.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shlex
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from bench.facts import Facts
from bench.feed_clients import (
    PATIENCE_SECONDS,
    CountedFeed,
    Socket,
    open_counted,
    open_sockets,
    request,
)
from bench.figures_section import replace_section
from bench.machine import Cores, Unusable, free_port, running
from bench.policy import Policy, Route, make_policy
from bench.revoking import revoke_key
from bench.subjects import GATEWAY_COMMAND, ROOT, gateway_config

CUT_MAX_SECONDS: Final = 1.0
"""Most that may pass between the request to revoke and the end of the last stream."""

EVENTS: Final = 8
"""Events that each stream which stays has to get after the cut."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway takes requests and orders."""

    port: int
    admin: Path


@dataclass(frozen=True, slots=True)
class Cut:
    """What was cut: what the answers count, seconds of the calls, and until the last client saw its end."""

    workers: int
    streams: int
    ended: int
    told: int
    acknowledged: str
    call_seconds: float
    seen_seconds: float
    events: int


def main() -> int:
    """Measure; return 0 when exactly the right streams ended in time, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream_cut", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="half of each kind (1000)")
    parser.add_argument("--revoked", type=int, default=10, help="keys of a hundred (10)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="to try (1 2)")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write revocation.md")
    options = parser.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    before = os.getloadavg()[0]
    cuts = []
    try:
        for workers in options.workers:
            with (
                tempfile.TemporaryDirectory(prefix="tollhouse-cut-") as folder,
                serving(Path(folder), options.command, workers) as place,
            ):
                cuts.append(uvloop.run(cut(place, workers, options.streams, options.revoked)))
    except Unusable as problem:
        print(f"stream_cut: {problem}", file=sys.stderr)
        return 1
    text = report(cuts, options.revoked, before)
    print(text)
    if options.write:
        replace_section(options.write / "revocation.md", "bench-stream-cut", text)
    return int(any(each.seen_seconds > CUT_MAX_SECONDS for each in cuts))


@contextmanager
def serving(folder: Path, command: str, workers: int) -> Iterator[Place]:
    """Run the upstream of streams and the gateway in front of it."""
    cores, feeds_port, port = Cores.of_this_machine(), free_port(), free_port()
    policy = make_policy()
    streams = Route("streams", "GET", "/feed/{id}", policy.scopes[0])
    config: dict[str, Any] = gateway_config(
        Policy((*policy.routes, streams), policy.load_keys), port, free_port()
    )
    config["upstreams"]["feeds"] = {
        "targets": [f"http://127.0.0.1:{feeds_port}"],
        "connections_max": 65536,
    }
    config["routes"][-1]["upstream"] = "feeds"
    config["workers"] = workers
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    feeding = [sys.executable, "-m", "bench.peers.feeds", "--port", str(feeds_port)]
    gateway = [word.replace("{config}", str(path)) for word in shlex.split(command)]
    with (
        running(feeding, cores.load, folder / "feeds.log", ROOT) as feeds,
        running(gateway, cores.gateway, folder / "gateway.log", ROOT) as process,
    ):
        feeds.wait_for_port(feeds_port)
        process.wait_for_port(port)
        if workers > 1:
            process.pin(*sorted(os.sched_getaffinity(0)))
        yield Place(port, folder / "admin.sock")


async def cut(place: Place, workers: int, number: int, revoked: int) -> Cut:
    """Open the streams, revoke some keys at once, and watch what ends and what does not. Raises `Unusable`."""
    keys = make_policy().load_keys
    chosen = [keys[n % len(keys)] for n in range(number // 2)]
    feeds = [(key.name, request("/feed/counted", key.token)) for key in chosen]
    upgrades = [(key.name, request("/feed/1", key.token, is_upgrade=True)) for key in chosen]
    streams: list[CountedFeed | Socket] = [
        *await open_counted(place.port, feeds),
        *await open_sockets(place.port, upgrades),
    ]
    doomed = {key.name for key in keys[:revoked]}
    staying = [each for each in streams if each.key not in doomed]
    started = time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(place.admin))) as session:
        answers = await asyncio.gather(*(revoke_key(session, name) for name in doomed))
    call_seconds = time.monotonic() - started
    goal = max(each.last for each in streams) + EVENTS
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(each.last < goal and not each.ended_at for each in staying):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    told = [answer["enforcement"] for answer in answers]
    verify(streams, doomed, sum(each["streams_closed"] for each in told))
    ended = [each for each in streams if each.ended_at]
    events = sum(each.last for each in staying)
    for each in staying:
        each.transport.abort()
    await asyncio.sleep(0)  # that is done in the next turn of the loop, and a drain waits for it
    return Cut(
        workers=workers,
        streams=len(streams),
        ended=len(ended),
        told=sum(each["streams_closed"] for each in told),
        acknowledged=", ".join(sorted({f"{each['acknowledged']}/{each['of']}" for each in told})),
        call_seconds=call_seconds,
        seen_seconds=max((each.ended_at - started for each in ended), default=0.0),
        events=events,
    )


def verify(streams: Sequence[CountedFeed | Socket], doomed: set[str], told: int) -> None:
    """Raise `Unusable` unless exactly the streams of `doomed` ended, as what they are, and nobody missed an event."""
    ended = {id(each) for each in streams if each.ended_at}
    expected = {id(each) for each in streams if each.key in doomed}
    if ended != expected:
        raise Unusable(
            f"{len(expected - ended)} streams of revoked keys went on, {len(ended - expected)} others ended"
        )
    if told != len(expected):
        raise Unusable(f"{len(expected)} streams ended, the answers say {told}")
    for each in streams:
        if not each.is_whole:
            raise Unusable("a stream missed an event")
        if isinstance(each, Socket):
            if each.ended_at and each.close_code != 1008:
                raise Unusable("a WebSocket that was cut was not told so (close code 1008)")
        elif each.is_finished:
            raise Unusable("a feed that was cut looks as if it had come to its end")


def report(cuts: Sequence[Cut], revoked: int, load_before: float) -> str:
    """Return the table and where it comes from."""
    head = ("workers", "streams", "acknowledged", "ended", "`streams_closed`", "calls", "last end seen after",
            "events that the others got, all")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    for each in cuts:
        cells = [
            f"{each.workers}",
            f"{each.streams:,}",
            each.acknowledged,
            f"{each.ended:,}",
            f"{each.told:,}",
            f"{each.call_seconds * 1e3:.0f} ms",
            f"{each.seen_seconds * 1e3:.0f} ms",
            f"{each.events:,}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    verdict = (
        f"Half of the streams are server-sent events, half WebSockets, on 100 keys; {revoked} keys were revoked at "
        "once. Exactly theirs ended, WebSockets with close code 1008, events without the last chunk."
    )
    origin = f"{Facts.of_this_machine()}; load average before the run: {load_before:.1f}."
    return "\n".join([*lines, "", textwrap.fill(verdict, 120), "", textwrap.fill(origin, 120)])


if __name__ == "__main__":
    sys.exit(main())
