"""How long a gateway takes to start: `python -m bench.start`.

Starts `tollhouse run` again and again, with the shipped configuration alone, with `--demo`, and with two workers, and
kills a worker. A client waits at the socket from its first moment on. Time on a shared machine is what others leave;
the CPU time is what a start would take on a core of its own, but for the disk.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.facts import Facts
from bench.figures_section import replace_section
from bench.machine import Process, Unusable, free_port
from bench.subjects import ROOT

PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.002
DEMO_PORT: Final = 8081
REST_SECONDS: Final = 1.0
"""How long a gateway has been idle when its memory is read."""

_REQUEST: Final = b"GET /api/v1/jobs HTTP/1.1\r\nHost: bench\r\n\r\n"
_READY: Final = b"GET /readyz HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Way:
    """A way to start: what is added to the command and to the configuration."""

    name: str
    arguments: tuple[str, ...] = ()
    settings: str = ""
    is_killed: bool = False


WAYS: Final = (
    Way("one process"),
    Way("one process, `--demo`", arguments=("--demo",)),
    Way("`workers: 2`", settings="\nworkers: 2\n", is_killed=True),
)


@dataclass(frozen=True, slots=True)
class Started:
    """What one start took: seconds until a client had its first answer and until probes were told that all is ready.

    Both by the clock and by the CPU time of all processes; then the CPU seconds and the memory of each process, the
    first one is the one that was started. `back` is the seconds until a killed worker was replaced.
    """

    answered: float
    answered_cpu: float
    ready: float
    ready_cpu: float
    each_cpu: tuple[float, ...]
    resident: tuple[int, ...]
    back: float | None


def main() -> int:
    """Measure; return 0, or 1 when the machine cannot."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="starts of each kind (10)")
    parser.add_argument("--only", default="", help="only the ways with this in their name")
    parser.add_argument(
        "--tree", type=Path, default=ROOT, help="the working copy that is measured (this one)"
    )
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write start.md there")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory(prefix="tollhouse-start-") as folder:
            ways = [way for way in WAYS if options.only in way.name and _is_possible(way)]
            found = measured(ways, options.starts, Path(folder), options.tree.resolve())
        text = report(found, load_before)
        print(text)
        if options.write:
            replace_section(options.write / "start.md", "bench-start", text)
    except Unusable as problem:
        print(f"start: {problem}", file=sys.stderr)
        return 1
    return 0


# ---- measuring


def measured(
    ways: Sequence[Way], starts: int, folder: Path, tree: Path = ROOT
) -> dict[Way, list[Started]]:
    """Start every way that often, in turn, each once before it counts: the database is there, files are cached."""
    found: dict[Way, list[Started]] = {way: [] for way in ways}
    for number in range(starts + 1):
        for place, way in enumerate(ways):
            started = start(way, folder / str(place), tree)
            if number:
                found[way].append(started)
    return found


def start(way: Way, folder: Path, tree: Path = ROOT) -> Started:
    """Start a gateway with its files in `folder`, look at it and end it. Raises `Unusable`."""
    port, metrics_port = free_port(), free_port()
    config = _configured(way, folder, tree, port, metrics_port)
    began = time.perf_counter()
    with _running(way, config, tree) as process:
        _wait_for_answer(port, _REQUEST, b" 401 ", process)
        answered = time.perf_counter() - began
        answered_cpu = sum(_cpu_of_each(process))
        _wait_for_answer(metrics_port, _READY, b" 200 ", process)
        ready = time.perf_counter() - began
        each = _cpu_of_each(process)
        time.sleep(REST_SECONDS)
        resident = tuple(_resident(pid) for pid in process.pids())
        back = _killed(process) if way.is_killed else None
    return Started(answered, answered_cpu, ready, sum(each), each, resident, back)


def _configured(way: Way, folder: Path, tree: Path, port: int, metrics_port: int) -> Path:
    (folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
    text = (tree / "config.yaml").read_text("utf-8") + way.settings
    addresses = {8080: port, 9100: metrics_port, 9901: free_port()}
    for shipped, own in addresses.items():
        text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{own}")
    (folder / "data" / "pepper").write_text("0123456789abcdef" * 4)
    config = folder / "config.yaml"
    config.write_text(text, "utf-8")
    return config


@contextmanager
def _running(way: Way, config: Path, tree: Path) -> Iterator[Process]:
    log = config.with_name("log")
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", str(config), *way.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
    process = Process(popen, log)
    try:
        yield process
    finally:
        process.stop()


def _is_possible(way: Way) -> bool:
    """Tell whether `way` can be gone here; say why not."""
    if "--demo" not in way.arguments:
        return True
    with socket.socket() as probe:
        is_taken = probe.connect_ex(("127.0.0.1", DEMO_PORT)) == 0
    if is_taken:
        print(f"start: without {way.name}: port {DEMO_PORT} is taken", file=sys.stderr)
    return not is_taken


def _wait_for_answer(port: int, request: bytes, status: bytes, process: Process) -> None:
    """Return when a request was answered; before the socket is bound, try again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
                client.sendall(request)
                head = client.recv(4096)
        except OSError:
            time.sleep(LOOK_SECONDS)
            continue
        if status in head.partition(b"\r\n")[0]:
            return
        raise Unusable(f"port {port} answered {head[:100]!r}:\n{process.log_tail()}")
    raise Unusable(f"port {port} does not answer:\n{process.log_tail()}")


def _cpu_of_each(process: Process) -> tuple[float, ...]:
    """Return the CPU seconds of the gateway and its workers, at once: it goes on working while all of /proc is read."""
    pid = process.pid
    threads = [*Path(f"/proc/{pid}/task").iterdir()]
    own = sum(_scheduled(thread) for thread in threads)
    workers = [worker for thread in threads for worker in (thread / "children").read_text().split()]
    return (
        own,
        *(sum(map(_scheduled, Path(f"/proc/{worker}/task").iterdir())) for worker in workers),
    )


def _scheduled(thread: Path) -> float:
    try:
        return int((thread / "schedstat").read_text("ascii").split()[0]) / 1e9
    except OSError:
        return 0.0  # it has ended


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _killed(process: Process) -> float:
    """Kill a worker; return the seconds until another one serves in its place."""
    victim, before = process.pids()[1], process.log.stat().st_size
    os.kill(victim, signal.SIGKILL)
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE_SECONDS:
        if re.search(rb"worker \d+ \(pid \d+\) serves", process.log.read_bytes()[before:]):
            return time.perf_counter() - began
        time.sleep(LOOK_SECONDS)
    raise Unusable(f"a killed worker was not replaced:\n{process.log_tail()}")


# ---- telling


def report(found: dict[Way, list[Started]], load_before: float) -> str:
    """Return the figures as Markdown."""
    starts = max(map(len, found.values()), default=0)
    lines = [
        "| | first answer: CPU | by the clock, worst | all ready: CPU | by the clock, worst | CPU of each process"
        " | memory of each process | a killed worker is replaced after |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(way, each) for way, each in found.items() if each),
        "",
        f"Medians of {starts} starts of each, in turn. The clock also counts what else the machine did: its load was"
        f" {load_before:.1f} before.",
        "",
        f"{Facts.of_this_machine()}.",
    ]
    return "\n".join(lines)


def _line(way: Way, starts: list[Started]) -> str:
    backs = [each.back for each in starts if each.back is not None]
    cells = (
        way.name,
        _seconds([each.answered_cpu for each in starts]),
        f"{_seconds([each.answered for each in starts])}, {max(each.answered for each in starts):.2f} s",
        _seconds([each.ready_cpu for each in starts]),
        f"{_seconds([each.ready for each in starts])}, {max(each.ready for each in starts):.2f} s",
        ", ".join(map(_seconds, zip(*[each.each_cpu for each in starts], strict=False))),
        ", ".join(
            f"{statistics.median(sizes) / 2**20:.0f} MiB"
            for sizes in zip(*[each.resident for each in starts], strict=False)
        ),
        _seconds(backs) if backs else "",
    )
    return f"| {' | '.join(cells)} |"


def _seconds(samples: Sequence[float]) -> str:
    return f"{statistics.median(samples):.2f} s"


if __name__ == "__main__":
    sys.exit(main())
