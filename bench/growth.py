"""Does a request cost the same as things grow? `python -m bench.growth`: routes, keys in the store, connections.

All sizes run side by side and take turns, each slice after one of plain nginx with 64 connections; a size is compared
with the smallest one round by round. Everything is on in the gateway.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.everything import everything_on
from bench.facts import Facts
from bench.growth_report import Curve, Group, Point, write
from bench.load import Load
from bench.machine import Cores, Process, Unusable, free_port
from bench.many_keys import fill, token
from bench.peers.catalogue import PLAIN_NGINX
from bench.policy import WIDE, Key, Policy, Route, make_policy, mint
from bench.slices import Pair, Slice
from bench.subjects import GATEWAY_COMMAND, Bench, Subject, gateway_config
from bench.work import Request, Work, get1k

ROUTES: Final = (10, 100, 1_000, 10_000)
KEYS: Final = (1_000, 10_000, 100_000, 1_000_000)
CONNECTIONS: Final = (16, 64, 256, 1_024, 4_096)
CACHE_KEYS: Final = 100_000
"""What the gateway keeps in memory by default."""

REQUESTS: Final = 1_200
"""Different requests of a load, as many as the twelve targets and hundred keys of `get1k` make."""

CONNECTIONS_PER_SECOND: Final = 512
"""A slice opens all its connections anew, at the price of three requests each: it lasts long enough to hide that."""

SNAPSHOT_SECONDS: Final = 900.0
"""How long a gateway may take for its first snapshot of a million keys: a fifth of a core for minutes."""

UNIFORM: Final = 20_000
"""Different keys of one slice when every key is as likely as any other."""


@dataclass(frozen=True, slots=True)
class Case:
    """One size of one curve: how it is asked, and by what."""

    curve: str
    size: int
    subject: Subject
    work: Callable[[int], Work]
    """The load of a round."""


class Growth:
    """A bench with plain nginx running, and how long to measure."""

    def __init__(
        self, bench: Bench, plain: Subject, upstream: Process, options: argparse.Namespace
    ) -> None:
        self.bench = bench
        self.options = options
        self._load = Load(bench.policy, bench.cores, bench.folder)
        self._plain = plain
        self._upstream = upstream

    def routes(self) -> Group:
        """Grow the table of routes."""
        with ExitStack() as stack:
            cases = []
            for size in self._sizes(ROUTES):
                policy = many_routes(size)
                change = partial(_with_series, policy)
                subject = self._start(stack, f"{size} routes", change=change)
                cases.append(Case("routes", size, subject, partial(_constant, _routed(policy))))
            return Group("routes", "routes", self._curves(cases))

    def keys(self) -> Group:
        """Grow the store: a hundred keys that all come again, and every key as likely as any other."""
        policy = self.bench.policy
        with ExitStack() as stack:
            cases = []
            for size in self._sizes(KEYS):
                _say(f"writing {size:,} keys")
                subject = self._start(
                    stack,
                    f"{size} keys",
                    change=_without_bootstrap,
                    prepare=partial(_filled, size, policy),
                )
                hot = _asking(f"hot-{size}", [token(n * size // 100) for n in range(100)])
                cases.append(Case("100 hot keys", size, subject, partial(_constant, hot)))
                cases.append(Case("all keys alike", size, subject, partial(_uniform, size)))
                self._warm_up(subject, size)
            self._settle(cases)
            return Group("keys", "keys in the store", self._curves(cases))

    def connections(self) -> Group:
        """Grow the number of connections that are all busy; plain nginx for comparison."""
        with ExitStack() as stack:
            ours = self._start(stack, "connections", change=_with_connections)
            cases = []
            for size in self._sizes(CONNECTIONS):
                work = partial(_constant, get1k(self.bench.policy, size))
                cases.append(Case("Tollhouse", size, ours, work))
                cases.append(Case("plain nginx", size, self._plain, work))
            return Group("connections", "busy connections", self._curves(cases))

    def _start(
        self,
        stack: ExitStack,
        name: str,
        *,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        prepare: Callable[[Path], None] | None = None,
    ) -> Subject:
        started = self.bench.tollhouse(
            self.options.command, name=name, change=change, check=False, prepare=prepare
        )
        return stack.enter_context(started)

    def _sizes(self, sizes: Sequence[int]) -> Sequence[int]:
        return sizes[: self.options.sizes] if self.options.sizes else sizes

    def _curves(self, cases: Sequence[Case]) -> list[Curve]:
        for case in cases:
            self._slice(case.subject, case.work(-1))  # warm-up
        pairs: dict[tuple[str, int], list[Pair]] = {}
        for n in range(self.options.rounds):
            for case in cases[:: -1 if n % 2 else 1]:
                pair = Pair(self._slice(self._plain, None), self._slice(case.subject, case.work(n)))
                if pair.subject.failures:
                    raise Unusable(f"{case.curve}, {case.size}: {pair.subject.failures} failed")
                pairs.setdefault((case.curve, case.size), []).append(pair)
            _say(f"{', '.join(sorted({c.curve for c in cases}))}: round {n + 1}")
        names = dict.fromkeys(case.curve for case in cases)
        return [
            Curve(name, [Point(size, found) for (of, size), found in pairs.items() if of == name])
            for name in names
        ]

    def _warm_up(self, subject: Subject, size: int) -> None:
        """Ask for as many different keys as the gateway keeps."""
        chosen = random.Random(size).sample(range(size), min(size, CACHE_KEYS))
        asked = 0
        for start in range(0, len(chosen), UNIFORM):
            tokens = [token(n) for n in chosen[start : start + UNIFORM]]
            work = _asking(f"warm-{size}-{start}", tokens)
            while asked < start + len(tokens):
                found = self._slice(subject, work)
                asked += max(1, int(found.requests_per_second * self.options.seconds))

    def _settle(self, cases: Sequence[Case]) -> None:
        """Wait until each has written its first snapshot of the keys: that is work of a start, and no request's."""
        until = time.monotonic() + SNAPSHOT_SECONDS
        for subject in {case.subject.name: case.subject for case in cases}.values():
            snapshot = subject.process.log.with_name("tollhouse.snapshot")
            _say(f"waiting for the first snapshot of {subject.name}")
            while not snapshot.exists():
                if time.monotonic() > until:
                    raise Unusable(f"{snapshot} was not written in time")
                time.sleep(0.5)

    def _slice(self, subject: Subject, work: Work | None) -> Slice:
        connections = 0 if work is None else work.connections
        seconds = self.options.seconds * max(1, connections // CONNECTIONS_PER_SECOND)
        return self._load.run(subject.port, subject.process, self._upstream, seconds, work=work)


def many_routes(count: int) -> Policy:
    """Return `count` routes, half of them templates, and a hundred keys that may use them all."""
    routes = tuple(
        Route(f"r{n}", "GET", f"/api/v1/kind{n}" + ("/{id}" if n % 2 else ""), "bench:read")
        for n in range(count)
    )
    keys = tuple(Key(f"k{n}", mint(f"k{n}"), ("bench:read",), WIDE) for n in range(100))
    return Policy(routes, keys)


def _routed(policy: Policy) -> Work:
    """Return requests that are spread over all routes."""
    count = len(policy.routes)
    chosen = (policy.routes[n * count // REQUESTS] for n in range(REQUESTS))
    requests = (
        Request("GET", route.example, policy.keys[n % len(policy.keys)].token)
        for n, route in enumerate(chosen)
    )
    return Work(name=f"routes-{count}", title=f"{count} routes", requests=tuple(requests))


def _uniform(size: int, turn: int) -> Work:
    chosen = random.Random(f"{size} {turn}")
    numbers = (chosen.randrange(size) for _ in range(UNIFORM))
    return _asking(f"uniform-{size}-{turn}", [token(number) for number in numbers])


def _asking(name: str, tokens: Sequence[str]) -> Work:
    requests = tuple(Request("GET", "/api/v1/jobs", each) for each in tokens)
    return Work(name=name, title=name, requests=requests)


def _constant(work: Work, _turn: int) -> Work:
    return work


def _filled(size: int, policy: Policy, folder: Path) -> None:
    fill(folder / "tollhouse.db", size, policy)


def _with_series(policy: Policy, config: dict[str, Any]) -> dict[str, Any]:
    """Return it with the routes and keys of `policy`, and room for the metrics of all of them."""
    upstream = config["upstreams"]["backend"]["targets"][0].rpartition(":")[2]
    public = config["listeners"]["public"]["bind"].rpartition(":")[2]
    changed = everything_on(gateway_config(policy, int(public), int(upstream)))
    changed["telemetry"] |= {"series_budget": 10_000_000}
    return changed


def _without_bootstrap(config: dict[str, Any]) -> dict[str, Any]:
    """Return it without the usual keys: all are in the store already."""
    return everything_on(config) | {"bootstrap": {}}


def _with_connections(config: dict[str, Any]) -> dict[str, Any]:
    """Return it with room for as many connections to the upstream as clients can keep busy."""
    backend = config["upstreams"]["backend"]
    wide = backend | {"connections_max": 8192, "idle_connections_max": 8192}
    return everything_on(config) | {"upstreams": {"backend": wide}}


def main() -> int:
    """Measure; return 0, or 1 when the machine or the gateway cannot be measured."""
    options = _parser().parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-growth-") as folder:
            groups = list(_measured(options, Path(folder)))
    except Unusable as problem:
        _say(f"growth: {problem}")
        return 1
    if not groups:
        return 1
    print(write(groups, str(Facts.of_this_machine()), options.write))
    return 0


def _measured(options: argparse.Namespace, folder: Path) -> Iterator[Group]:
    bench = Bench(folder, Cores.of_this_machine(), make_policy(), free_port())
    with bench.upstream() as upstream, bench.peer(PLAIN_NGINX) as plain:
        growth = Growth(bench, plain, upstream, options)
        for measure in (growth.routes, growth.keys, growth.connections):
            if measure.__name__ in options.only:
                try:
                    yield measure()
                except Unusable as problem:
                    _say(f"growth: {measure.__name__} left out: {problem}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    things = ("routes", "keys", "connections")
    parser.add_argument("--only", nargs="+", choices=things, default=things, help="what grows")
    parser.add_argument("--rounds", type=int, default=6, help="slices of each size (6)")
    parser.add_argument("--seconds", type=int, default=1, help="length of a slice (1)")
    parser.add_argument("--sizes", type=int, help="only the smallest sizes, this many of each")
    parser.add_argument("--command", default=GATEWAY_COMMAND, help="how to start the gateway")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write growth.md, growth.svg")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
