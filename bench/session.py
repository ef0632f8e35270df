"""A run: every load on every subject, each slice beside its reference, in rounds that alternate.

Every other round goes backwards, so that a drift of the host cancels out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from bench.load import Load
from bench.machine import Cores, Process
from bench.policy import Policy
from bench.slices import Pair, Slice, median
from bench.subjects import EVERYTHING_COMPILED, EVERYTHING_ON, Subject
from bench.work import Work, floods, get1k, get100k, post10k

LOADS: Final = ("get1k", "get100k", "post10k", "latency", "steady", "floods")

CAPACITY_SHARE: Final = 0.7
RATE_MAX: Final = 25_000.0
"""What the load at a constant rate manages beside an upstream on the same core; no subject gets more."""

STEADY_SECONDS: Final = 2

Pairs = dict[str, list[Pair]]
"""By the subject's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """How many rounds each kind of load gets, and how long a slice is."""

    main: int
    others: int
    seconds: int = 1


@dataclass(slots=True)
class Results:
    """What was measured: for each load the pairs of each subject."""

    works: dict[str, Pairs] = field(default_factory=dict)
    latency: Pairs = field(default_factory=dict)
    steady: Pairs = field(default_factory=dict)
    floods: dict[str, Pairs] = field(default_factory=dict)

    def add_flood(self, title: str, subject: str, pair: Pair) -> None:
        """Note one slice of a flood beside a slice of forwarded requests."""
        self.floods.setdefault(title, {}).setdefault(subject, []).append(pair)


class Session:
    """Subjects that run, and the load for them."""

    def __init__(
        self,
        policy: Policy,
        cores: Cores,
        load: Load,
        upstream: tuple[int, Process],
        rounds: Rounds,
    ) -> None:
        self._policy = policy
        self._cores = cores
        self._load = load
        self._upstream_port, self._upstream = upstream
        self._rounds = rounds

    def measure(
        self, subjects: list[Subject], loads: Iterable[str], flooded: list[Subject]
    ) -> Results:
        """Run the chosen loads; the floods on `flooded` only."""
        wanted, results = set(loads), Results()
        for subject in subjects:
            self._slice(subject, None)  # warm-up
        makers: dict[str, Callable[[Policy], Work]] = {
            "get1k": get1k, "get100k": get100k, "post10k": post10k
        }  # fmt: skip
        for name, make in makers.items():
            if name in wanted or (name == "get1k" and "steady" in wanted):
                rounds = self._rounds.main if name == "get1k" else self._rounds.others
                results.works[name] = self._throughput(subjects, make(self._policy), rounds)
        if "latency" in wanted:
            results.latency = self._latency(subjects)
        if "steady" in wanted:
            results.steady = self._steady(subjects, results.works["get1k"])
        if "floods" in wanted:
            self._floods(flooded, results)
        return results

    def _throughput(self, subjects: list[Subject], work: Work, rounds: int) -> Pairs:
        plain = subjects[0]
        return self._paired(
            work.title,
            subjects,
            rounds,
            lambda subject: Pair(self._slice(plain, work), self._slice(subject, work)),
        )

    def _latency(self, subjects: list[Subject]) -> Pairs:
        """One connection, gateway and upstream on one core: without the price of waking another core."""
        one = get1k(self._policy, connections=1)

        def pair(subject: Subject) -> Pair:
            with self._beside_upstream(subject):
                return Pair(self._direct(one), self._slice(subject, one))

        return self._paired("latency with one connection", subjects, self._rounds.others, pair)

    def _steady(self, subjects: list[Subject], capacity: Pairs) -> Pairs:
        def pair(subject: Subject) -> Pair:
            found = median(capacity[subject.name], lambda p: p.subject.requests_per_second)
            rate = min(RATE_MAX, CAPACITY_SHARE * found)
            direct = self._load.run_at(
                self._upstream_port, self._upstream, self._upstream, STEADY_SECONDS, rate=rate
            )
            through = self._load.run_at(
                subject.port, subject.process, self._upstream, STEADY_SECONDS, rate=rate
            )
            return Pair(direct, through)

        return self._paired("latency at 70 % of capacity", subjects, self._rounds.others, pair)

    def _floods(self, subjects: list[Subject], results: Results) -> None:
        for n in range(self._rounds.others):
            for subject in subjects:
                forwarded = self._slice(subject, None)
                for flood in floods(self._policy):
                    if str(flood.status) in subject.policy_seen:
                        pair = Pair(forwarded, self._slice(subject, flood))
                        results.add_flood(flood.title, subject.name, pair)
            _say(f"floods: round {n + 1} of {self._rounds.others}")

    def _paired(
        self, title: str, subjects: list[Subject], rounds: int, pair: Callable[[Subject], Pair]
    ) -> Pairs:
        pairs: Pairs = {subject.name: [] for subject in subjects}
        for n in range(rounds):
            for subject in subjects[:: -1 if n % 2 else 1]:
                pairs[subject.name].append(pair(subject))
            _say(f"{title}: round {n + 1} of {rounds}")
        return pairs

    def _slice(self, subject: Subject, work: Work | None) -> Slice:
        return self._load.run(
            subject.port, subject.process, self._upstream, self._rounds.seconds, work=work
        )

    def _direct(self, work: Work) -> Slice:
        return self._load.run(
            self._upstream_port, self._upstream, self._upstream, self._rounds.seconds, work=work
        )

    @contextmanager
    def _beside_upstream(self, subject: Subject) -> Iterator[None]:
        subject.process.pin(self._cores.load)
        try:
            yield
        finally:
            subject.process.pin(self._cores.gateway)


def flooded(subjects: list[Subject], *, everybody: bool) -> list[Subject]:
    """Return whom the floods go to: those with a policy, or of them only the gateway with everything on."""
    refusing = [subject for subject in subjects if "401" in subject.policy_seen]
    ours = {EVERYTHING_ON, EVERYTHING_COMPILED}
    return refusing if everybody else [s for s in refusing if s.name in ours]


def _say(text: str) -> None:
    print(text, file=sys.stderr)
