"""Load in paired slices: the speed of a shared host moves by tens of percent within seconds.

So no figure stands alone. A slice of each subject runs right after a slice of plain nginx, and only
ratios within such a pair are compared; a pair in which other processes took the cores is set aside.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.machine import Cores, Process, Unusable, core_busy_seconds, program
from bench.policy import LOAD_PATHS, Policy

CONNECTIONS: Final = 64
FOREIGN_MAX: Final = 0.10
"""A slice is clean when others used at most this share of one core while it ran."""

SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one subject did in a few seconds; times are seconds."""

    requests_per_second: float
    cpu_per_request: float
    core_share: float
    foreign_share: float
    latency_p50: float
    latency_p99: float
    failures: int

    @property
    def is_clean(self) -> bool:
        """Tell whether the slice had the cores to itself."""
        return self.foreign_share <= FOREIGN_MAX


@dataclass(frozen=True, slots=True)
class Pair:
    """A slice of plain nginx and the slice of a subject that followed it."""

    plain: Slice
    subject: Slice

    @property
    def is_clean(self) -> bool:
        """Tell whether both slices are clean."""
        return self.plain.is_clean and self.subject.is_clean


def clean(pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Return the pairs nobody disturbed, or all of them when fewer than three are left."""
    undisturbed = [pair for pair in pairs if pair.is_clean]
    return undisturbed if len(undisturbed) >= 3 else pairs


def median(pairs: Sequence[Pair], figure: Callable[[Pair], float]) -> float:
    """Return the median of `figure` over the clean pairs."""
    return statistics.median(figure(pair) for pair in clean(pairs))


class Load:
    """The load side: one wrk on the load core."""

    def __init__(self, policy: Policy, cores: Cores, folder: Path) -> None:
        self._wrk = program("wrk", "wrk")
        self._cores = cores
        self._requests = folder / "requests.tsv"
        tokens = [key.token for key in policy.load_keys]
        lines = (
            f"{LOAD_PATHS[n % len(LOAD_PATHS)]}\t{tokens[n % len(tokens)]}\n"
            for n in range(len(LOAD_PATHS) * len(tokens))
        )
        self._requests.write_text("".join(lines), "ascii")

    def run(
        self,
        port: int,
        gateway: Process,
        upstream: Process,
        seconds: int,
        *,
        scheme: str = "http",
    ) -> Slice:
        """Load the gateway on `port` for `seconds` and meter it."""
        cores = {self._cores.gateway, self._cores.load}
        busy = sum(map(core_busy_seconds, cores))
        spent, passed_on, own = gateway.cpu_seconds(), upstream.cpu_seconds(), _children_cpu()
        started = time.monotonic()
        duration, requests, refused, broken, p50, p99 = self._wrk_once(port, seconds, scheme)
        elapsed = time.monotonic() - started
        spent, passed_on, own = (
            gateway.cpu_seconds() - spent,
            upstream.cpu_seconds() - passed_on,
            _children_cpu() - own,
        )
        foreign = sum(map(core_busy_seconds, cores)) - busy - spent - passed_on - own
        return Slice(
            requests_per_second=requests / (duration / 1e6),
            cpu_per_request=spent / max(1, requests),
            core_share=spent / elapsed,
            foreign_share=max(0.0, foreign / elapsed),
            latency_p50=p50 / 1e6,
            latency_p99=p99 / 1e6,
            failures=refused + broken,
        )

    def _wrk_once(self, port: int, seconds: int, scheme: str) -> list[int]:
        command = ["taskset", "--cpu-list", str(self._cores.load), self._wrk]
        command += ["--threads", "1", "--connections", str(CONNECTIONS), "--timeout", "10s"]
        command += ["--duration", f"{seconds}s", "--script", str(SCRIPT)]
        command += [f"{scheme}://127.0.0.1:{port}/", "--", str(self._requests)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 30, check=False
        )
        for line in done.stdout.splitlines():
            if line.startswith("measured "):
                return [int(word) for word in line.split()[1:]]
        raise Unusable(f"wrk failed: {(done.stdout + done.stderr)[-1000:]}")


def _children_cpu() -> float:
    """Return the CPU seconds of children that have been waited for: of each wrk that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def load_average() -> float:
    """Return how many processes wanted a core during the last minute."""
    return os.getloadavg()[0]
