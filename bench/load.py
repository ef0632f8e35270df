"""The load side: wrk on the load core, and what a slice of it cost everybody."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.constant_rate import WARM_UP_SECONDS
from bench.machine import (
    Cores,
    Process,
    Unusable,
    core_busy_seconds,
    core_stolen_seconds,
    program,
)
from bench.policy import Policy
from bench.slices import Slice
from bench.work import Work, get1k

CONNECTIONS: Final = 64
ROOT: Final = Path(__file__).parents[1]
SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the load saw: requests, wrong answers, and latencies in seconds."""

    seconds: float
    requests: int
    failures: int
    latency_p50: float
    latency_p99: float
    late_p99: float = 0.0


class Meter:
    """Reads what everybody has spent, and says what a slice took since."""

    def __init__(self, cores: Cores, gateway: Process, upstream: Process) -> None:
        self._cores = sorted({cores.gateway, cores.load})
        self._processes = (gateway, upstream)
        self._before = self._read()

    def slice(self, answered: Answered) -> Slice:
        """Return the slice between the making of this meter and now."""
        spent = [after - before for before, after in zip(self._before, self._read(), strict=True)]
        elapsed, busy, stolen, gateway, upstream, load = spent
        if self._processes[0] is self._processes[1]:
            upstream = 0.0  # asked directly: it is its own upstream
        return Slice(
            requests_per_second=answered.requests / answered.seconds,
            cpu_per_request=gateway / max(1, answered.requests),
            core_share=gateway / elapsed,
            foreign_share=max(0.0, busy - stolen - gateway - upstream - load) / elapsed,
            stolen_share=max(0.0, stolen) / elapsed,
            upstream_share=upstream / elapsed,
            load_share=load / elapsed,
            latency_p50=answered.latency_p50,
            latency_p99=answered.latency_p99,
            failures=answered.failures,
            late_p99=answered.late_p99,
        )

    def _read(self) -> tuple[float, ...]:
        gateway, upstream = self._processes
        return (
            time.monotonic(),
            sum(map(core_busy_seconds, self._cores)),
            sum(map(core_stolen_seconds, self._cores)),
            gateway.cpu_seconds(),
            upstream.cpu_seconds(),
            _children_cpu(),
        )


class Load:
    """One wrk on the load core, or on the cores `on`."""

    def __init__(
        self, policy: Policy, cores: Cores, folder: Path, *, on: Sequence[int] = ()
    ) -> None:
        self._on = ",".join(map(str, on or (cores.load,)))
        self._wrk = program("wrk", "wrk")
        self._cores = cores
        self._folder = folder
        self._usual = get1k(policy)

    def run(
        self,
        port: int,
        gateway: Process,
        upstream: Process,
        seconds: float,
        *,
        work: Work | None = None,
        scheme: str = "http",
    ) -> Slice:
        """Load the gateway on `port` for `seconds` and meter it."""
        work = work or self._usual
        requests = self._requests(work)
        meter = Meter(self._cores, gateway, upstream)
        try:
            answered = self._wrk_once(f"{scheme}://127.0.0.1:{port}/", requests, work, seconds)
        except Unusable as problem:
            raise Unusable(f"{problem}\nIts log ends with: {gateway.log_tail()}") from None
        return meter.slice(answered)

    def run_at(
        self, port: int, gateway: Process, upstream: Process, seconds: float, *, rate: float
    ) -> Slice:
        """Send the usual load at a constant rate, whatever the answers take."""
        requests = self._requests(self._usual)
        meter = Meter(self._cores, gateway, upstream)
        command = ["taskset", "--cpu-list", self._on, sys.executable]
        command += ["-m", "bench.constant_rate", str(port), str(rate), str(seconds), str(requests)]
        done = _finished(command, WARM_UP_SECONDS + seconds)
        if done.returncode:
            raise Unusable(f"the load at a constant rate failed: {done.stderr[-1000:]}")
        report = json.loads(done.stdout)
        return meter.slice(Answered(**report))

    def _requests(self, work: Work) -> Path:
        path = self._folder / f"{work.name}.tsv"
        if not path.exists():
            path.write_text("".join(request.line for request in work.requests), "ascii")
        return path

    def _wrk_once(self, url: str, requests: Path, work: Work, seconds: float) -> Answered:
        command = ["taskset", "--cpu-list", self._on, self._wrk]
        command += ["--threads", "1", "--connections", str(work.connections), "--timeout", "10s"]
        command += ["--duration", f"{seconds:.0f}s", "--script", str(SCRIPT)]
        command += [url, "--", str(requests)]
        done = _finished(command, seconds)
        for line in done.stdout.splitlines():
            if line.startswith("measured "):
                duration, count, refused, broken, p50, p99 = map(int, line.split()[1:])
                failures = work.failures(count, refused, broken)
                return Answered(duration / 1e6, count, failures, p50 / 1e6, p99 / 1e6)
        raise Unusable(f"wrk failed: {(done.stdout + done.stderr)[-1000:]}")


def _finished(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False
    )


def _children_cpu() -> float:
    """Return the CPU seconds of children that have been waited for: of each load that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
